"""The service's own OpenAPI, tried with what it allows and with what it does not."""

import schemathesis
from conftest import LIMITS
from hypothesis import settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import allow_header_conformance
from service.main import create_app
from service.settings import Settings
from service_process import ServiceProcess

REFUSALS = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": [413, 422]}}})
OPENAPI = create_app(Settings.model_validate(LIMITS)).openapi()
schema = schemathesis.openapi.from_dict(OPENAPI, config=REFUSALS)


@schema.parametrize()
@settings(max_examples=15, derandomize=True, deadline=None, database=None)
def test_every_operation_keeps_to_its_openapi(case: Case, running_service: ServiceProcess) -> None:
    # The framework's 405 names the methods of a path's first route only, not those of the routes beside it.
    case.call_and_validate(base_url=running_service.url, excluded_checks=[allow_header_conformance])
