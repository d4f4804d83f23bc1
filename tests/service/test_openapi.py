"""schemathesis: requests made from the schema, right and wrong ones; every answer must be one that the schema names."""

import pytest
import schemathesis
import standins
from hypothesis import HealthCheck, settings

from nbhelpers import serving

SCHEMA = schemathesis.openapi.from_dict(serving.create_app(standins.model()).openapi())
LOCKED = schemathesis.openapi.from_dict(serving.create_app(standins.model(), api_key="sesame").openapi())
TAGGER = schemathesis.openapi.from_dict(serving.create_app(standins.tagger()).openapi())
bounded = settings(
    max_examples=40, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)  # fmt: skip


@SCHEMA.parametrize()
@bounded
def test_every_answer_is_as_promised(case, service):
    case.call_and_validate(base_url=service)


@pytest.fixture(scope="module")
def locked_service(run_service):
    with run_service(standins.model(), api_key="sesame") as address:
        yield address


@LOCKED.parametrize()
@settings(bounded, max_examples=10)
def test_with_a_key(case, locked_service):
    case.call_and_validate(base_url=locked_service, headers={"Authorization": "Bearer sesame"})


@pytest.fixture(scope="module")
def tagging_service(run_service):
    with run_service(standins.tagger()) as address:
        yield address


@TAGGER.parametrize()
@settings(bounded, max_examples=20)
def test_of_a_model_that_finds_entities(case, tagging_service):
    case.call_and_validate(base_url=tagging_service)
