"""A real browser, headless, looking at the tab."""

import contextlib
import shutil
import tempfile
import time

import pytest

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)


def programs():
    """Paths of Chromium and its driver; skips the test without them."""
    pytest.importorskip("selenium", reason="selenium is not installed")
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if not browser or not driver:
        pytest.skip(
            "no browser: install chromium and chromedriver "
            "(Debian: apt-get install chromium chromium-driver)"
        )
    return browser, driver


@contextlib.contextmanager
def browsing(width=1280, height=1200):
    """Yield a `Page` without an address yet."""
    browser, driver = programs()
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = browser
    with tempfile.TemporaryDirectory() as profile:
        for option in (*_OPTIONS, f"--user-data-dir={profile}"):
            options.add_argument(option)
        options.add_argument(f"--window-size={width},{height}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        chrome = webdriver.Chrome(
            options=options, service=webdriver.ChromeService(driver)
        )
        try:
            yield Page(chrome)
        finally:
            chrome.quit()


class Page:
    """The tab, as a person sees and uses it."""

    def __init__(self, chrome):
        self.chrome = chrome

    def open(self, url, dark=False, link=None):
        """Open TensorBoard on the tab and go into the tab's frame."""
        query = "?darkMode=true" if dark else ""
        self.chrome.switch_to.default_content()
        self.chrome.get(link or f"{url}{query}#keras_gradguard")
        frame = self.wait(lambda: self.find("iframe"))
        self.chrome.switch_to.frame(frame)
        self.wait(lambda: self.find(".verdict, .empty"))

    def find(self, selector):
        """Return the first element, or None."""
        found = self.all(selector)
        return found[0] if found else None

    def all(self, selector):
        return self.chrome.find_elements("css selector", selector)

    def text(self, selector):
        return self.script(
            "return document.querySelector(arguments[0])?.textContent ?? ''",
            selector,
        )

    def script(self, code, *arguments):
        return self.chrome.execute_script(code, *arguments)

    def wait(self, ask, seconds=60):
        """Return the first true answer; fail if there is none."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            answer = ask()
            if answer:
                return answer
            time.sleep(0.1)
        page = self.script("return document.body.innerText")
        pytest.fail(f"waited in vain; the page says:\n{page[:2000]}")

    def choose(self, label, value):
        """Pick an option of the list with this label."""
        from selenium.webdriver.support.ui import Select

        for element in self.all(".toolbar label"):
            if element.text.startswith(label):
                Select(
                    element.find_element("css selector", "select")
                ).select_by_value(value)
                return
        pytest.fail(f"no list {label!r}")

    def metric(self, name):
        self.chrome.find_element(
            "xpath", f"//div[@class='metrics']/label[contains(., '{name}')]"
        ).click()

    def move_to(self, selector, x, y):
        """Put the pointer on a place, as shares of the width and height."""
        self._at(selector, x, y).perform()

    def click(self, selector, x, y):
        self._at(selector, x, y).click().perform()

    def drag(self, selector, start, end, y):
        """Drag the pointer along a height, by shares of the width."""
        actions = self._at(selector, start, y).click_and_hold()
        width = self.find(selector).size["width"]
        actions.move_by_offset(round((end - start) * width / 2), 0)
        actions.move_by_offset(round((end - start) * width / 2), 0)
        actions.release().perform()

    def double_click(self, selector, x, y):
        self._at(selector, x, y).double_click().perform()

    def phone(self, width, height):
        """Make the window as narrow as no desktop lets it be."""
        self.chrome.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {
                "width": width,
                "height": height,
                "deviceScaleFactor": 1,
                "mobile": False,
            },
        )

    def scheme(self, dark):
        """Look at pages as a person does whose system is dark, or light."""
        value = "dark" if dark else "light"
        self.chrome.execute_cdp_cmd(
            "Emulation.setEmulatedMedia",
            {"features": [{"name": "prefers-color-scheme", "value": value}]},
        )

    def _at(self, selector, x, y):
        from selenium.webdriver.common.action_chains import ActionChains

        element = self.find(selector)
        self.script("arguments[0].scrollIntoView({block: 'nearest'})", element)
        size = element.size
        return ActionChains(self.chrome).move_to_element_with_offset(
            element,
            round((x - 0.5) * (size["width"] - 2)),
            round((y - 0.5) * (size["height"] - 2)),
        )

    def pixel(self, x, y):
        """Colour of a place of the heat map, as [r, g, b]."""
        return self.script(
            "const canvas = document.querySelector('.heatmap canvas');"
            "return [...canvas.getContext('2d').getImageData("
            "arguments[0] * canvas.width, arguments[1] * canvas.height, 1, 1"
            ").data].slice(0, 3)",
            x,
            y,
        )

    def errors(self):
        """Return what the browser's console has of errors, ours or not."""
        return [
            entry["message"]
            for entry in self.chrome.get_log("browser")
            if entry["level"] == "SEVERE"
        ]

    def shot(self, path):
        """Save a picture of the window, without the pointer's box."""
        self.chrome.switch_to.default_content()
        self.chrome.save_screenshot(str(path))
        self.chrome.switch_to.frame(self.find("iframe"))
