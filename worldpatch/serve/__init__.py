"""The OpenAI Videos API and more, over durable jobs: `app` answers, workers draw."""
