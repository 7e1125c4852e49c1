"""Fields of lists in the bodies of requests."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("msgspec")

from recsys_bnn.data.dataset import open_dataset
from recsys_bnn.prepare import prepare
from recsys_bnn.runtime.packed import PackedModel, load
from recsys_bnn.serving import openapi
from recsys_bnn.serving.requests import BadRequest
from recsys_bnn.serving.served import Served, served
from recsys_bnn.settings.prepare import PrepareConfig

TAGS: list[Any] = [["a", "b"], "b|a|a", None, [], ["a", None, "new"], [3, 3.0]]
ROWS = [{"age": i, "user": f"u{i % 3}", "tags": tags} for i, tags in enumerate(TAGS)]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory, pack: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("lists")
    lines = [f"{i % 2},{i % 5},u{i % 3},{['a|b', 'a|b|b', '', '3'][i % 4]}\n" for i in range(60)]
    (folder / "log.csv").write_text("click,age,user,tags\n" + "".join(lines))
    (folder / "s.toml").write_text(
        'label = "click"\nintegers = ["age"]\ncategoricals = ["user"]\nlists = {tags = "|"}'
    )
    config = PrepareConfig(
        "table", input=(folder / "log.csv",), schema=folder / "s.toml", out=folder / "data"
    )
    return pack(open_dataset(prepare(config)), folder / "m")


@pytest.fixture(scope="module")
def model(path: Path) -> PackedModel:
    return load(path)


@pytest.fixture(scope="module")
def server(path: Path) -> Served:
    return served(path, "auto", 50)


def test_rows_and_columns_get_the_model_s_probabilities(server: Served, model: PackedModel) -> None:
    columns = {name: [row[name] for row in ROWS] for name in ROWS[0]}
    for rows in (ROWS, columns):
        asked = server.asked_scores(json.dumps({"rows": rows}).encode())
        np.testing.assert_allclose(server.score(asked), model.predict(ROWS), rtol=1e-6)
        assert asked.unknown == {"tags": 1}


@pytest.mark.parametrize("shared", [{"age"}, {"tags"}, {"user", "tags"}])
def test_lists_may_stand_in_the_context_or_in_the_candidates(
    server: Served, model: PackedModel, shared: set[str]
) -> None:
    context = {name: ROWS[4][name] for name in shared}
    candidates = [{name: row[name] for name in row.keys() - shared} for row in ROWS]
    asked = server.asked_ranks(json.dumps({"context": context, "candidates": candidates}).encode())
    np.testing.assert_allclose(server.score(asked), model.predict([row | context for row in ROWS]), rtol=1e-6)


@pytest.mark.parametrize("wrong", [[["a"]], {"a": 1}, 3, True, [True]])
def test_what_is_no_list_is_refused_where_it_stands(server: Served, wrong: Any) -> None:
    with pytest.raises(BadRequest, match=r"rows\[0\].tags"):
        server.asked_scores(json.dumps({"rows": [ROWS[0] | {"tags": wrong}]}).encode())


def test_the_description_tells_of_lists(server: Served) -> None:
    described = json.dumps(openapi.score(server.bodies.features, 50))
    assert "A list as it stands in a file of text" in described
