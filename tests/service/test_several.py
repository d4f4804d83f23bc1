"""Several models in one service: each under its own path, with one key and one address for all."""

import httpx
import pytest
import standins
from starlette.testclient import TestClient

from nbhelpers import serving

KEY = "sesame open"


@pytest.fixture
def models():
    return {"talks": standins.model(name="talks", digest="1"), "names": standins.tagger(name="names", digest="2")}


@pytest.fixture
def joint(models):
    with TestClient(serving.create_joint_app(models)) as client:
        yield client


def test_each_model_answers_under_its_name(joint):
    answer = joint.post("/talks/classify", json={"texts": ["Hello."]}).json()
    assert answer["digest"] == "1"
    assert standins.right(answer["results"][0], "Hello.")
    found = joint.post("/names/entities", json={"texts": ["ANN is in Rome"]}).json()
    assert found["digest"] == "2"
    assert [entity["text"] for entity in found["results"][0]["entities"]] == ["ANN", "Rome"]
    assert joint.get("/names/ready").json()["reads"] == "tags"
    assert 'nbhelpers_predictions_total{label="LOC"} 1.0' in joint.get("/names/metrics").text
    assert "LOC" not in joint.get("/talks/metrics").text


def test_the_first_page_leads_to_each_model(joint):
    page = joint.get("/")
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    for name in ("talks", "names"):
        assert f'href="{name}/"' in page.text
        assert joint.get(f"/{name}/").status_code == 200
        for query in ("", "?name=https://example.org", "?name=//example.org"):
            assert joint.get(f"/{name}{query}", follow_redirects=False).headers["location"] == f"{name}/"
        assert f"curl http://testserver/{name}/" in joint.get(f"/{name}/docs").text
    assert joint.get("/health").json() == {"alive": True}
    assert joint.get("/ready").json() == {"models": ["talks", "names"]}
    missing = joint.get("/other/classify")
    assert missing.status_code == 404
    assert missing.json()["error"] == "there is no such path; /docs lists all"


def test_the_key_is_asked_for_by_each_model(models):
    with TestClient(serving.create_joint_app(models, api_key=KEY)) as client:
        for path in ("/", "/health", "/ready", "/talks/", "/talks/health", "/talks/ready", "/names/docs"):
            assert client.get(path).status_code == 200, path
        for path in ("/talks/metrics", "/names/metrics"):
            assert client.get(path).status_code == 401, path
        body = {"texts": ["Hello."]}
        assert client.post("/talks/classify", json=body).status_code == 401
        headers = {"Authorization": f"Bearer {KEY}"}
        assert client.post("/talks/classify", json=body, headers=headers).status_code == 200


def test_a_model_that_does_not_answer_is_named(models):
    def broken(examples):
        raise OSError("no model")

    with TestClient(serving.create_joint_app({**models, "broken": standins.model(broken)})) as client:
        answer = client.get("/ready")
        assert answer.status_code == 503
        assert answer.json()["error"] == "the model broken does not answer"
        assert client.post("/talks/classify", json={"texts": ["Hello."]}).status_code == 200


def test_an_overloaded_model_is_not_called_broken(models):
    async def overloaded():
        raise serving.problems.overloaded(3)

    app = serving.create_joint_app(models)
    app.routes[0].app.state.engine.check_ready = overloaded
    with TestClient(app) as client:
        assert client.get("/ready").json()["error"] == "the service is overloaded; try again in 3 s"


def test_no_model_at_all():
    with pytest.raises(ValueError, match="there is no model to serve"):
        serving.create_joint_app({})


@pytest.mark.parametrize("name", ["health", "docs", "a b", "../x", "", "ü"])
def test_a_name_that_cannot_be_part_of_an_address(models, name):
    with pytest.raises(ValueError, match="cannot be part of an address"):
        serving.create_joint_app({name: models["talks"]})


def test_several_models_in_a_process_of_their_own():
    with standins.process("several") as (_, address, log):
        assert address.endswith(tuple("0123456789"))
        for name in ("one", "two"):
            answer = httpx.post(f"{address}/{name}/classify", json={"texts": ["Hello."]}).json()
            assert (answer["model"], standins.right(answer["results"][0], "Hello.")) == (name, True)
        assert "Traceback" not in log()
