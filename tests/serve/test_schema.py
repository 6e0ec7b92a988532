"""Whatever the schema allows, and what it does not, is answered without a fault of the server."""

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable

from worldpatch.serve import app as serving
from worldpatch.serve.routes import images
from worldpatch.serve.settings import Settings

pytest.importorskip("dbos")
schemathesis = pytest.importorskip("schemathesis")
LEFT_OUT = {"/v1/events", "/v1/videos/{video_id}/events", "/readyz"}  # endless, or without a worker not ready
EXAMPLES = 6  # of each kind of case and operation; `benchmarks/attacks.py` has thousands


def test_no_request_is_the_server_s_fault(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "PATIENCE", 0.0)  # nobody draws here
    api = schemathesis.openapi.from_asgi("/openapi.json", serving.make(Settings(home=tmp_path / "home", open=True)))
    tried = 0
    for operation in (found.ok() for found in api.get_all_operations()):
        if operation.path in LEFT_OUT:
            continue
        for mode in schemathesis.GenerationMode:

            @settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
            @given(case=operation.as_strategy(generation_mode=mode))
            def each(case):
                answer = case.call()
                assert answer.status_code < 500, (case.as_curl_command(), answer.text)

            with suppress(Unsatisfiable):  # nothing can be wrong where nothing is asked
                each()
                tried += 1
    assert tried > 50
