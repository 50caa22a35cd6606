"""A person trains a model and looks at the tab, in a real browser.

The pictures of the documentation come from `pictures.py`.
"""

import sys

import keras
import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn.datasets import make_moons

import keras_gradguard as kgg
from tests.tensorboard_plugin import conftest
from tests.tensorboard_plugin.browser import browsing
from tests.tensorboard_plugin.browser import programs
from tests.tensorboard_plugin.conftest import serving

pytestmark = pytest.mark.once


def net(activation, **arguments):
    hidden = [
        keras.layers.Dense(10, activation, name=f"h{i}", **arguments)
        for i in range(1, 10)
    ]
    output = keras.layers.Dense(1, "sigmoid", name="output")
    return keras.Sequential([keras.Input((2,)), *hidden, output], name="net")


def train(model, log_dir, epochs):
    x, y = make_moons(1000, noise=0.1, random_state=42)
    monitor = kgg.GradientMonitor(log_dir, verbose=0)
    model.fit(
        *(x, y),
        epochs=epochs,
        validation_split=0.1,
        verbose=0,
        callbacks=[monitor],
    )
    return monitor


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of moons: nine sigmoid layers; ReLU, clipped; targets of 1e6."""
    programs()
    logdir = tmp_path_factory.mktemp("runs")
    keras.utils.set_random_seed(1)
    model = net("sigmoid")
    model.compile("adam", "binary_crossentropy")
    train(model, logdir / "sigmoid", 20)
    keras.utils.set_random_seed(1)
    model = net("relu", kernel_initializer="he_normal")
    model.compile(
        kgg.AutoClip(keras.optimizers.Adam(3e-3), percentile=10),
        "binary_crossentropy",
    )
    train(model, logdir / "relu_clipped", 20)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(640, 8))
    model = keras.Sequential(
        [keras.Input((8,))]
        + [keras.layers.Dense(32, "relu", name=f"block_{i}") for i in range(6)]
        + [keras.layers.Dense(1, name="head")],
        name="regression",
    )
    model.compile(keras.optimizers.SGD(0.01), "mse")
    monitor = kgg.GradientMonitor(logdir / "unscaled", verbose=0)
    model.fit(
        *(x, 1e3 * x.sum(axis=1) ** 2),
        epochs=4,
        verbose=0,
        callbacks=[monitor],
    )
    return logdir


@pytest.fixture(scope="module")
def url(runs):
    with serving(runs) as address:
        yield address


@pytest.fixture
def page(url):
    with browsing() as page:
        page.open(url)
        yield page
        assert page.errors() == []


def heading(page):
    return page.text(".panel h2")


def show(page, run):
    page.choose("Run", run)
    page.wait(lambda: heading(page).startswith(run))


def detail(page):
    return page.text(".detail .title")


def test_verdict_is_read_in_words(page):
    show(page, "sigmoid")
    verdict = page.text(".verdict")
    assert "1 problem found, critical: vanishing_gradient" in verdict
    finding = page.text(".finding")
    assert "the gradient shrinks on its way back" in finding
    assert "ReLU with He initialization" in finding
    # The worst culprit is opened without a click.
    assert detail(page) == "Gradient norm of net/h1"
    code = page.find(".finding li details")
    assert not page.find(".finding pre").is_displayed()
    code.find_element("css selector", "summary").click()
    assert "presets.convert(model" in page.find(".finding pre").text
    show(page, "relu_clipped")
    assert "Healthy: nothing found" in page.text(".verdict")
    assert "updates clipped" in page.text(".panel")


def test_hovering_tells_layer_step_and_value(page):
    show(page, "sigmoid")
    canvas = ".heatmap canvas"
    seen = set()
    for row in (0.04, 0.5, 0.86):
        page.move_to(canvas, 0.6, row)
        tip = page.find(".tooltip").text
        assert tip.startswith("net/")
        assert "Gradient norm" in tip
        assert "step" in tip
        seen.add(tip.splitlines()[0])
    assert "net/h1" in seen
    assert "net/output" in seen
    assert page.script(
        "return document.querySelector('.chart .cursor')"
        ".getAttribute('visibility')"
    ) == ("visible")
    page.move_to(".verdict", 0.1, 0.5)
    assert not page.find(".tooltip").is_displayed()
    page.move_to(".chart", 0.6, 0.5)
    assert "loss" in page.find(".tooltip").text
    # Where another run takes its place, nothing of this one stays.
    show(page, "relu_clipped")
    assert not page.find(".tooltip").is_displayed()


def test_clicking_opens_the_layer_and_the_depth(page):
    show(page, "sigmoid")
    page.click(".heatmap canvas", 0.8, 0.86)
    page.wait(lambda: detail(page) == "Gradient norm of net/output")
    keys = page.text(".detail .keys")
    assert "at step 0" in keys
    assert keys.count("at step") == 2
    series, depth = page.all(".detail svg")
    assert len(series.find_elements("css selector", ".line")) == 1
    assert len(depth.find_elements("css selector", "circle")) == 10
    page.find(".chips button").click()
    page.wait(lambda: detail(page) == "Gradient norm of net/h1")
    page.click(".heatmap canvas", 0.8, 0.5)
    page.wait(lambda: detail(page) != "Gradient norm of net/h1")
    page.find(".markers .marker").click()
    page.wait(lambda: detail(page) == "Gradient norm of net/h1")


def test_metric_and_run_are_switched(page):
    show(page, "sigmoid")
    before = page.pixel(0.5, 0.4)
    page.metric("Weight norm")
    page.wait(lambda: detail(page) == "Weight norm of net/h1")
    assert page.pixel(0.5, 0.4) != before
    assert "Weight norm, layers from input" in page.text(".panel")
    page.metric("Update / weights")
    page.wait(lambda: detail(page) == "Update / weights of net/h1")
    # A sigmoid cannot die, so the share of dead units is not offered.
    assert "Dead" not in page.find(".metrics").text
    show(page, "relu_clipped")
    assert "Update / weights, layers from input" in page.text(".panel")
    page.wait(lambda: "Dead" in page.find(".metrics").text)
    page.metric("Dead units")
    page.wait(lambda: detail(page).startswith("Dead units of"))
    page.move_to(".heatmap canvas", 0.6, 0.1)
    assert "%" in page.find(".tooltip").text


def test_what_is_not_finite_stands_out(page):
    show(page, "unscaled")
    assert "exploding_gradient" in page.text(".verdict")
    assert page.all(".chart .lost")
    page.move_to(".heatmap canvas", 0.9, 0.8)
    assert "NaN" in page.find(".tooltip").text
    # Stripes, not a colour alone.
    colors = {tuple(page.pixel(0.7 + i / 400, 0.8)) for i in range(12)}
    assert len(colors) > 1


def test_two_runs_side_by_side_share_their_colours(page):
    show(page, "sigmoid")
    page.choose("Compare with", "relu_clipped")
    page.wait(lambda: len(page.all(".panel .verdict")) == 2)
    page.wait(lambda: len(page.all(".detail svg")) == 4)
    left, right = page.all(".panel")
    assert right.location["x"] > left.location["x"] + 300
    assert len(page.all(".legend-row .legend-bar")) == 1
    # One click selects in both.
    page.click(".panel .heatmap canvas", 0.8, 0.5)
    opened = "Gradient norm of net/h6"
    titles = ".detail figure:first-child .title"
    page.wait(lambda: [t.text for t in page.all(titles)] == [opened] * 2)
    page.choose("Compare with", "")
    page.wait(lambda: len(page.all(".panel")) == 1)


def test_keyboard_alone_reaches_everything(page):
    from selenium.webdriver.common.keys import Keys

    show(page, "sigmoid")
    reached = set()
    page.script("document.activeElement.blur()")
    for _ in range(40):
        page.chrome.switch_to.active_element.send_keys(Keys.TAB)
        focused = page.script(
            "const e = document.activeElement;"
            "return e.tagName + '.' + e.className + '.' + (e.name ?? '')"
        )
        reached.add(focused)
        if focused.startswith("CANVAS"):
            break
    assert any(name.startswith("SELECT") for name in reached)
    assert "INPUT..metric" in reached
    assert any(name.startswith("BUTTON.marker") for name in reached)
    canvas = page.chrome.switch_to.active_element
    assert canvas.tag_name == "canvas"
    canvas.send_keys(Keys.HOME, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    canvas.send_keys(Keys.ARROW_RIGHT)
    assert page.find(".tooltip").text.startswith("net/h3")
    # A screen reader is told the same.
    page.wait(lambda: page.text(".spoken").startswith("net/h3, step 1"))
    canvas.send_keys(Keys.ENTER)
    page.wait(lambda: detail(page) == "Gradient norm of net/h3")


def test_new_data_and_new_runs_arrive(tmp_path, page):
    def step():
        return page.text(".panel h2").rpartition("step ")[2]

    model = net("relu", kernel_initializer="he_normal")
    model.compile("adam", "binary_crossentropy")
    with serving(tmp_path) as url:
        page.open(url)
        assert "No gradients to show" in page.text(".empty")
        assert "GradientMonitor(log_dir=" in page.text(".empty pre")
        train(model, tmp_path / "live", 2)
        page.wait(lambda: step() == "57")
        train(model, tmp_path / "live", 3)
        # The optimizer goes on where it was; nothing was clicked.
        page.wait(lambda: step() == "144")
        train(net_like(model), tmp_path / "other", 1)
        page.wait(lambda: len(page.all(".toolbar option")) >= 3)
        assert heading(page).startswith("live")


def net_like(model):
    copy = keras.models.clone_model(model)
    copy.compile("adam", "binary_crossentropy")
    return copy


_FIRST_PAINT = """
if (location.pathname.includes('plugin_entry')) {
  const look = () => {
    if (document.querySelector('.heatmap canvas')) {
      // After the frame in which it was drawn.
      requestAnimationFrame(() => requestAnimationFrame(
        () => { window.painted = performance.now(); }));
    } else {
      requestAnimationFrame(look);
    }
  };
  look();
}
"""


@pytest.mark.parametrize(("layers", "records"), [(100, 2000), (200, 5000)])
def test_a_large_run_is_painted(tmp_path, layers, records, capsys):
    depth = np.linspace(-3, 0, layers)
    noise = np.random.default_rng(0).normal(0, 0.2, (records, layers))
    grads = 10.0 ** (depth + noise)
    conftest.write_live(tmp_path / "large", grads, each=100, thin=False)
    with serving(tmp_path) as url, browsing() as page:
        page.chrome.execute_cdp_cmd(
            "Page.addScriptToEvaluateOnNewDocument", {"source": _FIRST_PAINT}
        )
        for look in ("first", "second"):
            page.open(url)
            took = page.wait(lambda: page.script("return window.painted"))
            with capsys.disabled():
                sys.stdout.write(
                    f"\n{layers} layers, {records} records: painted "
                    f"{took:.0f} ms after the {look} opening of the tab\n"
                )
            page.chrome.get("about:blank")
        page.open(url)
        # Weak at the input, strong at the output.
        assert page.pixel(0.5, 0.02) != page.pixel(0.5, 0.98)
        for place in np.linspace(0.1, 0.9, 9):
            page.move_to(".heatmap canvas", 0.5, place)
            assert "block_" in page.find(".tooltip").text
        assert page.errors() == []


def test_script_in_names_does_not_run(tmp_path):
    script = "<img src=x onerror=window.pwned=1>"
    layers = [f"net/{script}", "net/<b>b</b>"]
    trace = conftest.make_trace(layers, np.arange(50), np.ones((50, 2)))
    remedy = kgg.Remedy(script, script, script)
    finding = kgg.Finding(
        script, "critical", layers, 0, 9, 0, {}, script, [remedy]
    )
    conftest.write(tmp_path / "<b>run", trace, [finding])
    with serving(tmp_path) as url, browsing() as page:
        page.open(url)
        page.wait(lambda: page.find(".finding"))
        page.move_to(".heatmap canvas", 0.6, 0.1)
        assert script in page.find(".tooltip").text
        assert script in page.text(".finding")
        assert heading(page).startswith("<b>run")
        assert not page.all(".gradguard img, .gradguard b")
        assert page.script("return window.pwned ?? null") is None
        assert page.errors() == []


@pytest.mark.parametrize(
    ("width", "height", "dark"),
    [(1280, 1200, False), (1280, 1200, True), (390, 1480, False)],
)
def test_light_dark_and_narrow(url, width, height, dark):
    with browsing(width, height) as page:
        page.phone(width, height)
        page.open(url, dark)
        show(page, "sigmoid")
        page.click(".heatmap canvas", 0.75, 0.3)
        page.wait(lambda: "net/h3" in detail(page) or "net/h4" in detail(page))
        page.script("window.scrollTo(0, 0)")
        page.script("document.activeElement.blur()")
        page.move_to(".heatmap canvas", 0.4, 0.06)
        background = page.script(
            "return getComputedStyle(document.body).backgroundColor"
        )
        assert (sum(map(int, background[4:-1].split(","))) < 300) == dark
        # Nothing sticks out sideways.
        assert page.script(
            "return document.documentElement.scrollWidth <= innerWidth"
        )
        assert page.errors() == []
