"""The tab on large, long and several runs, in a real browser."""

import json
import re

import numpy as np
import pytest

pytest.importorskip("tensorboard")

from keras_gradguard import Finding
from keras_gradguard import Remedy
from keras_gradguard.reporting.tensorboard import chunks
from keras_gradguard.reporting.tensorboard.writer import EventWriter
from tests.tensorboard_plugin import made_up
from tests.tensorboard_plugin.accessibility import axe_core
from tests.tensorboard_plugin.accessibility import violations
from tests.tensorboard_plugin.browser import browsing
from tests.tensorboard_plugin.browser import programs
from tests.tensorboard_plugin.conftest import serving

pytestmark = pytest.mark.once

CANVAS = ".heatmap canvas"


def finding(rule, cause=None, **arguments):
    layers = ["net/sigmoid_1", "net/sigmoid_2"]
    remedies = [Remedy(f"Mend {rule}", "It helps.", f"mend({rule!r})")]
    text = f"{rule} is here."
    return Finding(
        *(rule, "critical", layers, 5, 99, 0, {}, text, remedies, cause),
        **arguments,
    )


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    programs()
    folder = tmp_path_factory.mktemp("large")
    made_up.write(folder / "resnet", made_up.resnet(160), [])
    made_up.write_deep(folder / "deep", 2000)
    made_up.write(folder / "rnn", made_up.recurrent(), [])
    trace = made_up.sigmoid(200)
    told = [finding("vanishing_gradient", "dead_relu"), finding("dead_relu")]
    gone = [
        finding("slow_convergence", status="resolved", resolved_step=30),
        finding("loss_plateau", status="withdrawn"),
    ]
    writer = EventWriter(folder / "sick")
    writer.on_records(trace, 0)
    writer.on_judged(told, [*told, *gone], trace)
    writer.close(trace, told)
    for seed in (1, 2):
        trace = made_up.sigmoid(100 * seed, "relu", seed=seed)
        made_up.write(folder / f"relu_{seed}", trace, [])
    EventWriter(folder / "compiling").flush()
    damaged = EventWriter(folder / "damaged")
    damaged.on_records(made_up.sigmoid(50), 0)
    header = {"session": "never", "part": 1}
    damaged._tab._write(0, chunks.RECORDS_TAG, header)
    damaged.close(made_up.sigmoid(50), [])
    with serving(folder) as address:
        yield address


@pytest.fixture(scope="module")
def browser(url):
    with browsing(1280, 1000) as page:
        yield page


@pytest.fixture
def page(url, browser):
    browser.chrome.get("about:blank")
    browser.open(url)
    browser.wait(lambda: len(browser.all(".toolbar option")) >= 10)
    yield browser
    assert browser.errors() == []


def show(page, run):
    page.choose("Run", run)
    page.wait(lambda: page.text(".panel h2").startswith(run))
    page.wait(lambda: page.all(".detail svg .axis"))


def steps_shown(page):
    return page.script(
        "return [...document.querySelectorAll('input.step')]"
        ".map((input) => Number(input.value))"
    )


def zoomed(page, *steps):
    """Wait until these steps are fetched and drawn."""
    page.wait(lambda: steps_shown(page) == [*steps])
    page.wait(lambda: not page.all("main[aria-busy=true]"))


def module(page, name, code):
    """Run code on a module `m` of the front end."""
    return page.chrome.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        f"import('./static/{name}.js').then((m) => done({code}))"
        ".catch((error) => done(String(error)));"
    )


def test_gradients_through_time_are_a_map(page):
    show(page, "deep")
    assert not page.find(".times").is_displayed()
    show(page, "rnn")
    page.wait(lambda: page.find(".times").is_displayed())
    assert "at step 256" in page.text(".times .title")
    assert "net/reader:" in page.text(".times-words")
    # Dark at the first time step of what forgets, bright at the last.
    colors = page.script(
        "const map = document.querySelector('.times canvas');"
        "const box = map.getBoundingClientRect();"
        "const ratio = map.width / box.width;"
        "const read = (x) => [...map.getContext('2d').getImageData("
        "x * ratio, 9 * ratio, 1, 1).data].slice(0, 3);"
        "return [read(box.width * 0.4), read(box.width - 18)];"
    )
    first, last = (sum(color) for color in colors)
    assert first + 150 < last
    page.move_to(".times canvas", 0.97, 0.1)
    page.wait(lambda: "of 0 to 199" in page.text(".tooltip"))


def test_exactly_zero_is_no_line_at_a_tenth(page):
    show(page, "deep")
    page.move_to(CANVAS, 0.7, 0.2 * 500 / 538)
    assert "exactly 0" in page.find(".tooltip").text
    page.click(CANVAS, 0.7, 0.2 * 500 / 538)
    page.wait(lambda: "exactly 0 at all steps" in page.text(".detail"))
    series, depth = page.all(".detail svg")
    assert not series.find_elements("css selector", ".grid")
    # Over the depth they stand on a row of their own, marked 0.
    assert depth.find_elements("css selector", ".zeros")
    ticks = [t.text for t in depth.find_elements("css selector", ".tick")]
    assert "0" in ticks
    # Dots on black, not a colour alone.
    colors = {tuple(page.pixel(0.6 + i / 900, 0.186)) for i in range(16)}
    assert len(colors) > 1


def test_effects_stand_under_their_cause_without_remedies(page):
    show(page, "sick")
    cards = page.all(".finding")
    texts = [card.text for card in cards]
    assert "dead_relu" in texts[0]
    assert "Mend dead_relu" in texts[0]
    assert "Follows from dead_relu" in texts[1]
    assert "Mend" not in texts[1]
    assert cards[1].location["x"] > cards[0].location["x"]
    gone = page.text(".findings .gone")
    assert "Resolved at step 30: slow_convergence" in gone
    assert "Withdrawn: loss_plateau" in gone
    assert "2 problems found" in page.text(".verdict")
    page.find(".finding li summary").click()
    assert page.find(".finding .copy").text == "Copy"


def test_picture_table_and_link_are_taken_along(page, tmp_path):
    page.chrome.execute_cdp_cmd(
        "Browser.setDownloadBehavior",
        {"behavior": "allow", "downloadPath": str(tmp_path)},
    )
    show(page, "relu_1")

    def saved(name):
        # The browser makes the file before it writes it.
        return page.wait(
            lambda: [
                file
                for file in tmp_path.glob(f"*.{name}")
                if file.stat().st_size
            ]
        )[0]

    for button in page.all(".exports button"):
        button.click()
    assert saved("png").read_bytes().startswith(b"\x89PNG")
    head, *rows = saved("csv").read_text().splitlines()
    trace = made_up.sigmoid(100, "relu", seed=1)
    assert head == ",".join(["step", *(f'"{name}"' for name in trace.layers)])
    np.testing.assert_allclose(
        [[float(cell) for cell in row.split(",")[1:]] for row in rows],
        trace.get("grad_norm"),
        rtol=1e-4,
    )
    copy = page.find(".toolbar .copy")
    copy.click()
    page.wait(lambda: copy.text in ("Copied", "Select and copy by hand"))


def test_zoom_by_pointer_keyboard_and_numbers(page):
    from selenium.webdriver.common.keys import Keys

    show(page, "deep")
    assert steps_shown(page) == [0, 1999]
    page.drag(CANVAS, 0.5, 0.75, 0.5)
    page.wait(lambda: steps_shown(page)[0] > 500)
    page.wait(lambda: not page.all("main[aria-busy=true]"))
    first, last = steps_shown(page)
    assert last < 1800
    # Dragging selects no cell, and colours keep their meaning.
    page.move_to(CANVAS, 0.6, 0.5)
    told = re.search("steps? ([0-9,]+)", page.find(".tooltip").text)
    assert first <= int(told[1].replace(",", "")) <= last
    page.double_click(".chart", 0.5, 0.5)
    zoomed(page, 0, 1999)
    canvas = page.find(CANVAS)
    canvas.send_keys(Keys.HOME, "+")
    zoomed(page, 0, 999)
    canvas = page.find(CANVAS)
    canvas.send_keys("0")
    zoomed(page, 0, 1999)
    inputs = page.all("input.step")
    for box, step in zip(inputs, (1440, 1459), strict=True):
        page.script("arguments[0].value = arguments[1]", box, step)
    page.script("arguments[0].dispatchEvent(new Event('change'))", inputs[1])
    zoomed(page, 1440, 1459)
    page.wait(lambda: page.find(".steps button").is_enabled())
    page.script("document.querySelector('.steps button').click()")
    zoomed(page, 0, 1999)


def test_steps_that_another_run_lacks_are_not_kept(page):
    show(page, "deep")
    page.drag(CANVAS, 0.8, 0.9, 0.5)
    page.wait(lambda: steps_shown(page)[0] > 1000)
    show(page, "relu_1")
    zoomed(page, 0, 99)
    assert page.all(".detail svg .line")


def test_one_step_that_stands_out_is_seen_in_the_whole_run(page):
    show(page, "deep")
    spike = int(0.7213 * 2000)
    answer = json.loads(
        page.chrome.execute_async_script(
            "const done = arguments[arguments.length - 1];"
            "fetch('./matrix?run=deep&cells=max&columns=400')"
            ".then((r) => r.text()).then(done)"
        )
    )
    column = np.searchsorted(answer["starts"], spike, side="right") - 1
    left, right = page.script(
        "const texts = document.querySelector('.chart .axis');"
        "return [texts.x1.baseVal.value, texts.x2.baseVal.value]"
    )
    width = page.find(CANVAS).size["width"]
    places = left + (right - left) * (
        (np.array([spike - 60, spike, spike + 60]) + 0.5) / 2000
    )
    before, at, after = (page.pixel(x / width, 0.6) for x in places)
    assert column > 0
    assert at != before
    assert at != after


def test_kernels_stand_alone_until_all_are_wanted(page):
    show(page, "resnet")
    caption = page.text(".panel figcaption:has(.exports)")
    assert "60 rows of 122 not shown" in caption
    page.find(".panel figcaption .keys button").click()
    page.wait(lambda: "not shown" not in page.text(".panel .stack"))
    select = page.find(".options label:nth-of-type(2) select")
    options = [o.text for o in select.find_elements("css selector", "option")]
    assert {"kernels", "all layers", "only Conv2D", "all variables"} <= set(
        options
    )
    search = page.find(".options input[type=search]")
    search.send_keys("stage2*conv")
    page.wait(lambda: "102 rows of 122" not in page.text(".panel .stack"))
    search.clear()
    search.send_keys("stage2_block3_conv1")
    page.wait(lambda: "121 rows of 122" in page.text(".panel .stack"))
    page.find(".panel figcaption .keys button").click()
    page.wait(lambda: "not shown" not in page.text(".panel .stack"))


def test_labels_say_what_neighbours_share_once(page):
    paths = [name for name, _ in made_up.deep_layers(8)]
    found = module(page, "names", f"m.labelsOf({json.dumps(paths)})")
    assert found["leaves"][:2] == [
        "separable_convolution_1",
        "separable_convolution_2",
    ]
    inner = found["levels"][-1]
    assert [g["text"] for g in inner][:2] == [
        "residual_block_01",
        "residual_block_02",
    ]
    assert inner[0]["path"] == "backbone/stage_1/residual_block_01/"
    flat = ["stem", "stage1_block1_conv1", "stage1_block1_conv2", "head"]
    found = module(page, "names", f"m.labelsOf({json.dumps(flat)})")
    assert found["leaves"] == ["stem", "conv1", "conv2", "head"]
    assert [g["text"] for g in found["levels"][0]] == ["stage1"]
    plain = ["net/hidden_000", "net/hidden_001", "net/out"]
    found = module(page, "names", f"m.labelsOf({json.dumps(plain)})")
    assert found == {
        "leaves": ["hidden_000", "hidden_001", "out"],
        "levels": [],
    }


def test_ticks_never_repeat_and_a_flat_loss_looks_flat(page):
    ticks = module(
        page,
        "scale",
        "new m.ValueScale(2.2995, 2.3105, false).labels(4).map(([, t]) => t)",
    )
    assert len(ticks) > 2
    assert len(set(ticks)) == len(ticks)
    share = module(
        page,
        "scale",
        "(() => { const s = m.scaleAround([0.697, 0.692], false);"
        " return s.share(0.697) - s.share(0.692); })()",
    )
    assert 0 < share < 0.1


def test_smoothing_forgets_as_tensorboard_does(page):
    random = np.random.default_rng(0).normal(size=50)
    found = module(
        page, "lines", f"m.smooth({json.dumps(random.tolist())}, 0.9)"
    )
    expected, last = [], 0.0
    for at, value in enumerate(random):
        last = 0.9 * last + 0.1 * value
        expected.append(last / (1 - 0.9 ** (at + 1)))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_all_runs_in_a_table_and_several_compared(page):
    page.find("button.toggle").click()
    page.wait(lambda: len(page.all(".runs tbody tr")) == 7)
    rows = {r.text.split()[0]: r.text for r in page.all(".runs tbody tr")}
    assert "dead_relu" in rows["sick"]
    assert "!" in rows["sick"]
    assert "compiling" in page.text(".runs [role=status]")
    search = page.find(".runs input[type=search]")
    search.send_keys("relu_")
    page.wait(lambda: len(page.all(".runs tbody tr")) == 2)
    search.clear()
    search.send_keys(" ")
    for run in ("relu_1", "relu_2", "sick"):
        page.wait(lambda run=run: page.find(f"[aria-label='Compare {run}']"))
        page.find(f"[aria-label='Compare {run}']").click()
    button = page.find(".runs-tools button")
    assert button.text == "Compare 3 runs"
    button.click()
    page.wait(lambda: len(page.all(".panel .verdict")) == 3)
    loss, norm = page.all(".comparison .pair svg")
    assert len(loss.find_elements("css selector", ".line")) == 3
    assert len(norm.find_elements("css selector", ".line")) == 3
    # On shared axes: each map ends where the longest run does.
    assert steps_shown(page) == [0, 199]


def test_difference_of_two_runs_is_the_ratio_of_their_cells(page):
    show(page, "relu_1")
    page.choose("Compare with", "relu_2")
    page.wait(lambda: len(page.all(".panel .verdict")) == 2)
    page.wait(lambda: page.find(".comparison canvas").is_displayed())
    caption = page.text(".comparison > figure figcaption")
    assert "relu_2 over relu_1, 10 layers in both" in caption
    ratio = module(
        page,
        "compare",
        "(() => { const of = (v) => ({ rows: ['a', 'b'], starts: [0, 10],"
        " end: 20, columnOf: (s) => (s < 10 ? 0 : 1),"
        " at: (c, r) => v[c][r] });"
        " const d = m.difference(of([[1, 0], [4, null]]),"
        " of([[100, 0], [2, 3]]));"
        " return [d.at(0, 0), d.at(0, 1), d.at(1, 0), d.at(1, 1)]; })()",
    )
    assert ratio[:2] == [2, 0]
    assert ratio[2] == pytest.approx(np.log10(0.5))
    assert ratio[3] is None
    page.move_to(".comparison .heatmap canvas", 0.3, 0.3)
    assert "times" in page.find(".tooltip").text


def test_a_link_opens_run_layer_and_steps(page, url):
    link = module(
        page,
        "link",
        "m.makeLink({run: 'deep', layer: "
        "'backbone/stage_2/residual_block_03/separable_convolution_2',"
        " step: 1500, metric: 'grad_norm', first: 1000, last: 1999})",
    )
    assert link.startswith(url)
    page.chrome.get("about:blank")
    page.open(url, link=link)
    page.wait(lambda: page.text(".panel h2").startswith("deep"))
    page.wait(
        lambda: "block_03/separable_convolution_2" in page.text(".detail")
    )
    assert steps_shown(page) == [1000, 1999]


def test_what_could_not_be_read_is_said_on_the_page(page):
    show(page, "damaged")
    line = page.find(".left-out")
    assert line.is_displayed()
    assert "1 part of this run's event files could not be read" in line.text
    assert line.size["height"] > 10


@pytest.mark.parametrize("dark", [False, True])
def test_axe_core_finds_nothing(page, url, dark):
    if axe_core() is None:
        pytest.skip(f"axe-core is not installed: {axe_core.__doc__}")
    page.open(url, dark)
    for run in ("sick", "resnet"):
        show(page, run)
        assert violations(page) == []
    page.find("button.toggle").click()
    page.wait(lambda: page.all(".runs tbody tr"))
    assert violations(page) == []
    page.find("button.toggle").click()
    page.choose("Compare with", "relu_1")
    page.wait(lambda: len(page.all(".panel .verdict")) == 2)
    assert violations(page) == []


def test_a_run_that_compiles_is_said_to_have_started(tmp_path, browser):
    EventWriter(tmp_path / "first").flush()
    with serving(tmp_path) as url:
        browser.open(url)
        browser.wait(lambda: "has started" in browser.text(".empty"))
        text = browser.text(".empty")
        assert "1 run has started and has no records yet" in text
        assert "first" in text
