"""The page of `make dashboard`, from the answers of a stand-in Prometheus."""

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import httpx2
import pytest

import settings
from checks.kube import Kube, KubectlError
from checks.outcome import CheckError
from components.dashboards import DASHBOARDS
from components.dashboards.model import Panel, Query, Unit
from dashboard import __main__ as command
from dashboard.chart import number
from dashboard.page import page
from dashboard.prometheus import Series, Window, series_of

WINDOW = Window(start=1_700_000_000, end=1_700_003_600, step=15)
PANELS = [panel for dashboard in DASHBOARDS for panel in dashboard.panels()]
CLIENTS = Panel(
    title="Clients", description="They come and go.", unit="short", queries=(Query("clients{$redis}", "{{pod}}"),)
)

Result = list[dict[str, Any]]


def line(labels: dict[str, str], *values: str) -> dict[str, Any]:
    """A series of Prometheus' answer: one value every 15 s, from the window's first moment on."""
    return {"metric": labels, "values": [[WINDOW.start + 15 * n, value] for n, value in enumerate(values)]}


def prometheus(result: Callable[[httpx2.Request], Result]) -> httpx2.Client:
    def answer(request: httpx2.Request) -> httpx2.Response:
        data = {"resultType": "matrix", "result": result(request)}
        return httpx2.Response(200, json={"status": "success", "data": data})

    return httpx2.Client(base_url="http://prometheus", transport=httpx2.MockTransport(answer))


def asked(panel: Panel, *result: dict[str, Any]) -> list[Series]:
    with prometheus(lambda _: list(result)) as client:
        return series_of(panel, client, WINDOW, namespace="demo", rate_seconds=60)


def drawn(series: Callable[[Panel], list[Series]]) -> str:
    return page(DASHBOARDS, WINDOW, "demo", series)


def wavy(*names: str) -> list[Series]:
    return [Series(name, [float(n % 20) for n in range(len(WINDOW.moments))]) for name in names]


class TestAsking:
    def test_prometheus_is_asked_for_the_window_in_the_stacks_namespace(self) -> None:
        requests: list[httpx2.Request] = []

        def remember(request: httpx2.Request) -> Result:
            requests.append(request)
            return []

        with prometheus(remember) as client:
            series_of(CLIENTS, client, WINDOW, namespace="demo", rate_seconds=60)
        (request,) = requests
        assert request.url.path == "/api/v1/query_range"
        assert dict(request.url.params) == {
            "query": 'clients{job="redis", namespace="demo", pod=~".*"}',
            "start": "1700000000",
            "end": "1700003600",
            "step": "15",
        }

    def test_every_series_of_the_answer_is_named_by_its_labels(self) -> None:
        found = asked(CLIENTS, line({"pod": "redis-0"}, "1"), line({"pod": "redis-replica-0"}, "2"))
        assert [(one.name, one.values[0]) for one in found] == [("redis-0", 1.0), ("redis-replica-0", 2.0)]

    def test_moments_without_a_sample_and_values_that_are_no_number_are_gaps(self) -> None:
        (series,) = asked(CLIENTS, line({"pod": "redis-0"}, "1", "NaN", "+Inf", "4"))
        assert series.values[:6] == [1.0, None, None, 4.0, None, None]
        assert len(series.values) == len(WINDOW.moments) == 241

    def test_a_series_that_never_has_a_number_is_none(self) -> None:
        assert asked(CLIENTS, line({"pod": "redis-0"}, "NaN", "NaN")) == []

    def test_a_query_that_prometheus_refuses_is_told_in_its_words(self) -> None:
        refusal = httpx2.MockTransport(lambda _: httpx2.Response(400, json={"error": "parse error: unexpected )"}))
        client = httpx2.Client(base_url="http://prometheus", transport=refusal)
        with client, pytest.raises(CheckError, match=r"answered 400 .*parse error"):
            series_of(CLIENTS, client, WINDOW, namespace="demo", rate_seconds=60)


class TestPage:
    def test_every_panel_is_drawn_with_its_title_and_its_description(self) -> None:
        html = drawn(lambda _: wavy("redis-0", "redis-1"))
        shown = re.sub("</?code>", "`", html)
        for panel in PANELS:
            assert f"<h4>{escape(panel.title)}</h4><p>{escape(panel.description)}</p>" in shown
        assert html.count("<svg ") == len([panel for panel in PANELS if panel.kind == "graph"])
        assert "No data" not in html

    def test_a_panel_without_series_says_so_and_the_others_are_drawn(self) -> None:
        empty = {"Replay lag", "Primaries"}
        html = drawn(lambda panel: [] if panel.title in empty else wavy("one"))
        silent = re.findall(r'<h4>([^<]*)</h4><p>.*?</p><p class="none">No data</p>', html)
        assert set(silent) == empty

    def test_the_page_needs_nothing_from_anywhere(self) -> None:
        html = drawn(lambda _: wavy("one"))
        assert "<script" not in html
        without_comments = re.sub(r"<!--.*?-->", "", html)
        addresses = set(re.findall(r"""(?:https?:)?//[a-z][^\s"'<>]*""", without_comments))
        assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}  # names, not addresses
        assert re.findall(r"""(?:src|href)=["'](?!#)""", without_comments) == []
        assert re.findall(r"@import|url\(", without_comments) == []

    def test_a_label_cannot_write_into_the_page(self) -> None:
        html = drawn(lambda _: wavy("<img src=x onerror=alert(1)>"))
        assert "<img" not in html
        assert "&lt;img src=x onerror=alert(1)&gt;" in html

    def test_every_line_is_named_beside_its_last_value_and_one_that_ended_has_none(self) -> None:
        panel = next(panel for panel in PANELS if panel.title == "Memory of Redis")
        before = [1.0] * (len(WINDOW.moments) - 1)
        series = [Series("redis-0", [*before, 2**21]), Series("redis-1", [*before, None])]
        html = drawn(lambda one: series if one is panel else [])
        assert "redis-0 <b>2 MiB</b>" in html
        assert "redis-1 <b></b>" in html

    def test_an_alert_that_has_cleared_is_not_among_those_that_fire(self) -> None:
        panel = next(panel for panel in PANELS if panel.title == "Firing alerts")
        before = [1.0] * (len(WINDOW.moments) - 1)
        series = [Series("Watchdog (none)", [*before, 1.0]), Series("RedisDown (page)", [*before, None])]
        html = drawn(lambda one: series if one is panel else [])
        assert "Watchdog (none)" in html
        assert "RedisDown" not in html

    def test_a_line_is_broken_where_there_was_nothing(self) -> None:
        whole, broken = wavy("one"), [Series("one", [*wavy("one")[0].values[:100], *[None] * 41, *[1.0] * 100])]

        def strokes(series: list[Series]) -> int:
            html = drawn(lambda panel: series if panel.title == "Replay lag" else [])
            return html.count('class="line reactive nofill"')

        assert (strokes(whole), strokes(broken)) == (1, 2)

    def test_series_that_are_all_zero_are_drawn_too(self) -> None:
        html = drawn(lambda _: [Series("quiet", [0.0] * len(WINDOW.moments))])
        assert "No data" not in html


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0, "short", "0"),
        (12_500, "short", "12.5k"),
        (0.042, "percentunit", "4.2 %"),
        (0.0023, "s", "2.3 ms"),
        (5400, "s", "1.5 h"),
        (0, "s", "0 s"),
        (1536, "bytes", "1.5 KiB"),
        (0, "Bps", "0 B/s"),
        (0.25, "ops", "0.25/s"),
    ],
)
def test_a_number_is_written_with_its_unit(value: float, unit: Unit, text: str) -> None:
    assert number(value, unit) == text


class TestCommand:
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(command, "OUTPUT", tmp_path / "build" / "dashboard.html")

    def test_a_running_stack_is_drawn_into_a_file_whose_name_is_printed(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        forwarded: list[tuple[str, str, int]] = []

        @contextmanager
        def port_forward(kube: Kube, target: str, port: int) -> Generator[int]:
            forwarded.append((kube.namespace, target, port))
            yield 1

        def moving(request: httpx2.Request) -> Result:
            return [{"metric": {"pod": "redis-0"}, "values": [[int(request.url.params["end"]), "7"]]}]

        monkeypatch.setattr(Kube, "port_forward", port_forward)
        monkeypatch.setattr(command, "client", lambda _: prometheus(moving))
        assert command.main([]) == 0
        assert capsys.readouterr().out == f"{command.OUTPUT}\n"
        assert forwarded == [("monitoring", "svc/prometheus", 9090)]
        html = command.OUTPUT.read_text()
        assert "hotstack in demo" in html
        assert "redis-0 <b>7</b>" in html

    def test_without_a_prometheus_one_sentence_says_what_is_missing_and_nothing_is_written(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        @contextmanager
        def port_forward(*_: object) -> Generator[int]:
            raise KubectlError("kubectl port-forward", 'services "prometheus" not found')
            yield

        monkeypatch.setattr(Kube, "port_forward", port_forward)
        assert command.main([]) == 1
        said = capsys.readouterr().err
        assert said.startswith("dashboard: no Prometheus to ask: expected svc/prometheus in namespace monitoring")
        assert 'services "prometheus" not found' in said
        assert said.count("\n") == 1
        assert not command.OUTPUT.exists()

    def test_a_stack_that_is_not_monitored_says_so(self) -> None:
        silent = settings.from_file("dev").model_copy(update={"monitoring": None})
        with pytest.raises(CheckError, match="the stack in demo is not monitored"):
            command.draw(silent, end=WINDOW.end)

    def test_an_unknown_stack_is_refused_by_name(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert command.main(["--stack", "nowhere"]) == 1
        assert "nowhere" in capsys.readouterr().err
