"""The interface keeps what it says of itself, by requests that schemathesis makes of its own description."""

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
schemathesis = pytest.importorskip("schemathesis")

from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402

from recsys_bnn.serving.app import make_app  # noqa: E402
from recsys_bnn.serving.held import Held  # noqa: E402
from recsys_bnn.serving.served import served  # noqa: E402
from recsys_bnn.settings.serve import ServeSettings  # noqa: E402

FEW = settings(
    max_examples=15,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
def api(visits: Path) -> Any:
    model = visits / "m.safetensors"
    held = Held(model, lambda path: served(path, "numpy", 20))
    schema = schemathesis.openapi.from_asgi(
        "/openapi.json", make_app(held, ServeSettings(model, watch_s=0), 1)
    )
    schema.config.checks.negative_data_rejection.expected_statuses.append("413")  # too many rows
    return schema


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("path", ["/score", "/rank"])
def test_no_request_breaks_the_description(path: str, mode: GenerationMode, api: Any) -> None:
    # JSON Schema can't say that each feature stands in the context or in the candidates, and that lists are equally
    # long: so what it allows may be refused.
    @FEW
    @given(case=api[path]["POST"].as_strategy(mode))
    def check(case: Any) -> None:
        case.call_and_validate(excluded_checks=[positive_data_acceptance])

    check()


@pytest.mark.parametrize("path", ["/model", "/health", "/metrics"])
def test_what_takes_no_body_keeps_its_description(path: str, api: Any) -> None:
    api[path]["GET"].Case().call_and_validate()
