"""The page in a real browser: Debian's chromium, without a window."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from known_latents import decoders
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.support.ui import Select, WebDriverWait

from synthsae.reports import Report, report

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (BROWSER and DRIVER), reason="no chromium with chromedriver (apt: chromium-driver)"
    ),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    seen = report(decoders(5))
    folder = tmp_path_factory.mktemp("report")
    seen.write(folder)
    return seen, folder / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[WebDriver]:
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,1600"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, Service(str(DRIVER)))
    yield driver
    driver.quit()


def opened(browser: WebDriver, file: Path) -> WebDriver:
    browser.get("about:blank")  # so that the next line loads the file again
    browser.get(file.as_uri())
    ready = 'return document.documentElement.dataset.ready === "true"'
    WebDriverWait(browser, 60).until(lambda d: d.execute_script(ready))
    return browser


@pytest.fixture
def page(browser: WebDriver, made: tuple[Report, Path]) -> WebDriver:
    return opened(browser, made[1])


def column(page: WebDriver, number: int) -> list[str]:
    cells = page.find_elements(By.CSS_SELECTOR, f"#table tbody td:nth-child({number})")
    return [cell.text for cell in cells]


def test_it_opens_without_errors_and_without_a_network(page: WebDriver) -> None:
    assert page.get_log("browser") == []
    loaded = "return performance.getEntriesByType('resource').map((e) => e.name)"
    assert [name for name in page.execute_script(loaded) if name.startswith("http")] == []
    assert page.find_element(By.TAG_NAME, "h1").text == "Which latents are real?"


def test_the_table_shows_the_live_latents_of_the_first_sae(
    page: WebDriver, made: tuple[Report, Path]
) -> None:
    rows = made[0].latents.loc["SAE 0"]
    assert column(page, 1) == [str(i) for i in rows.index[rows.live]]
    assert column(page, 2) == rows.verdict[rows.live].tolist()


def test_the_table_sorts_searches_and_filters(page: WebDriver, made: tuple[Report, Path]) -> None:
    rows = made[0].latents.loc["SAE 0"]
    header = page.find_element(By.XPATH, "//th[contains(., 'rank')]")
    header.click()
    ranks = [f"{rank:.1f}" for rank in sorted(rows["rank"][rows.live])]
    WebDriverWait(page, 10).until(lambda d: column(d, 5) == ranks)
    page.find_element(By.CSS_SELECTOR, "input[type=search]").send_keys("not reproduced")
    lost = rows.index[rows.verdict == "not reproduced"]
    WebDriverWait(page, 10).until(lambda d: sorted(column(d, 1)) == sorted(map(str, lost)))
    page.find_element(By.CSS_SELECTOR, "input[type=search]").clear()
    page.find_element(By.CSS_SELECTOR, "input[type=search]").send_keys(Keys.SPACE)
    Select(page.find_element(By.ID, "verdict")).select_by_visible_text("dead")
    WebDriverWait(page, 10).until(lambda d: column(d, 1) == ["20"])


def test_a_latent_by_its_number_and_on_to_its_counterpart(
    page: WebDriver, made: tuple[Report, Path]
) -> None:
    view = made[0].latent(3)
    page.find_element(By.ID, "number").send_keys("3", Keys.ENTER)
    one = page.find_element(By.ID, "one")
    WebDriverWait(page, 10).until(lambda d: "Latent 3 of SAE 0" in one.text)
    assert view.verdict in one.text
    assert view.why in one.text
    link = one.find_element(By.CSS_SELECTOR, "tbody a")
    assert link.text == str(view.counterparts.latent.iloc[0])
    link.send_keys(Keys.ENTER)
    wanted = f"Latent {link.text} of SAE 1"
    WebDriverWait(page, 10).until(lambda d: wanted in one.text)
    assert Select(page.find_element(By.ID, "sae")).first_selected_option.text == "SAE 1"
    page.back()
    WebDriverWait(page, 10).until(lambda d: "Latent 3 of SAE 0" in one.text)


def test_a_latent_that_there_is_not(page: WebDriver) -> None:
    page.find_element(By.ID, "number").send_keys("999", Keys.ENTER)
    one = page.find_element(By.ID, "one")
    WebDriverWait(page, 10).until(lambda d: "No latent 999" in one.text)


def test_a_subspace_opens_from_its_row(page: WebDriver) -> None:
    page.find_element(By.CSS_SELECTOR, "#subspaces tbody a").send_keys(Keys.ENTER)
    details = page.find_element(By.ID, "subspace-0")
    WebDriverWait(page, 10).until(lambda d: details.get_attribute("open"))
    assert details.find_element(By.TAG_NAME, "img").is_displayed()


def test_it_fits_a_phone(browser: WebDriver, made: tuple[Report, Path]) -> None:
    browser.set_window_size(420, 900)
    page = opened(browser, made[1])
    page.find_element(By.ID, "number").send_keys("3", Keys.ENTER)
    WebDriverWait(page, 10).until(lambda d: d.find_element(By.ID, "one").is_displayed())
    wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.execute_script(wide) <= 0
    browser.set_window_size(1200, 1600)
