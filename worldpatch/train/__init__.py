"""One loop that takes loss(model, batch), and a stage per thing trained."""
