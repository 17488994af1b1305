"""The explorer in a real browser, from a file and without a network."""

import re

import pytest

from tests.support import explored

NETWORKS = len(explored.networks())


@pytest.fixture(scope="module")
def tab(browser, tmp_path_factory):
    """An offline tab with the explorer, that notes what it asks for and what goes wrong."""
    file = tmp_path_factory.mktemp("page") / "explorer.html"
    file.write_text(explored.page(), encoding="utf-8")
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    tab = context.new_page()
    tab.set_default_timeout(20_000)
    tab.asked, tab.wrong = [], []
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.on("console", lambda message: tab.wrong.append(message.text))
    tab.on("pageerror", lambda error: tab.wrong.append(str(error)))
    tab.address = file.as_uri()
    yield tab
    context.close()


@pytest.fixture
def page(tab):
    """The explorer as it opens; whatever a test does must not go wrong."""
    tab.goto("about:blank")
    tab.asked.clear()
    tab.goto(tab.address)
    tab.wait_for_selector(".point")
    yield tab
    assert tab.wrong == []


def points(page):
    """Positions of the marks by network, in the order in which they are drawn."""
    return page.eval_on_selector_all(
        ".point", "all => all.map(p => [p.dataset.i, p.getAttribute('transform')])"
    )


def rows(page):
    return page.locator("#body tr").count()


def status(page):
    return page.inner_text("#status")


def brush(page, left=0.0, top=0.0, right=1.0, bottom=1.0):
    """Drag a rectangle, in shares of the chart."""
    box = page.locator("#plot").bounding_box()
    x, y = box["x"], box["y"]
    page.mouse.move(x + left * box["width"], y + top * box["height"])
    page.mouse.down()
    page.mouse.move(x + right * box["width"] - 1, y + bottom * box["height"] - 1, steps=3)
    page.mouse.up()


def test_it_opens_without_a_network_and_asks_for_nothing_but_itself(page):
    assert page.asked == [page.address]
    assert len(points(page)) == rows(page) == NETWORKS
    assert status(page) == f"{NETWORKS} of {NETWORKS} networks shown, 0 selected"
    assert "not paper scale" in page.inner_text(".banner")
    assert not page.is_visible("#clear")


def test_the_browser_would_refuse_to_load_anything(page):
    refused = page.evaluate("""() => fetch('data:text/plain,x').then(() => 'loaded', () => 'no')""")
    assert refused == "no"
    assert all("Content Security Policy" in words or "Fetch API" in words for words in page.wrong)
    page.wrong.clear()


def test_filters_leave_fewer_networks(page):
    page.get_by_label("Polar-FFA, sigmoid").uncheck()
    assert len(points(page)) == rows(page) == NETWORKS * 2 // 3
    assert status(page).startswith(f"{NETWORKS * 2 // 3} of {NETWORKS} networks shown")
    page.locator("#from").fill("60")
    left = explored.networks().query("last >= 0.6 and probability != 'sigmoid'")
    assert 0 < len(points(page)) == len(left) < NETWORKS * 2 // 3
    assert page.inner_text("#range").startswith("60 to")
    page.click("text=Show all networks")
    assert len(points(page)) == NETWORKS


def test_axes_move_the_marks_and_undefined_values_are_said(page):
    before = points(page)
    page.select_option("#x", "class_direction")
    moved = points(page)
    assert [i for i, _ in before] == [i for i, _ in moved] and before != moved
    assert "cosine" in page.text_content("#plot")
    page.select_option("#y", "hoyer")
    assert len(points(page)) == NETWORKS - 1
    assert "1 without a value on an axis" in status(page)


def test_fitted_axes_spread_what_is_left(page):
    page.get_by_label("Polar-FFA, sigmoid").uncheck()
    page.locator("#to").fill("60")
    before = points(page)
    page.check("#fit")
    assert points(page) != before and len(points(page)) == len(before)


def test_colour_and_shape_follow_a_factor(page):
    def looks(what):
        marks = page.locator(".point")
        return set(marks.evaluate_all(f"all => all.map(p => p.getAttribute('{what}'))"))

    page.select_option("#colour", "norm")
    assert looks("fill") == {"#CC79A7", "#000000"} and len(looks("d")) == 2
    page.select_option("#shape", "")
    assert len(looks("d")) == 1
    assert "‖h‖₂²" in page.inner_text("#legend")


def test_brushing_selects_what_the_table_shows_and_escape_clears(page):
    brush(page, right=0.5)
    some = page.locator(".point.chosen").count()
    assert 0 < some < NETWORKS and rows(page) == some
    assert f"{some} selected" in status(page)
    chosen = page.eval_on_selector_all(".point.chosen", "p => p.map(q => q.dataset.i)")
    listed = page.eval_on_selector_all("#body tr", "r => r.map(q => q.dataset.i)")
    assert sorted(chosen) == sorted(listed)
    page.keyboard.down("Shift")
    brush(page, left=0.5)
    page.keyboard.up("Shift")
    assert rows(page) == NETWORKS == page.locator(".point.chosen").count()
    page.keyboard.press("Escape")
    assert rows(page) == NETWORKS and page.locator(".point.chosen").count() == 0
    brush(page, right=0.5)
    page.click("#clear")
    assert "0 selected" in status(page) and rows(page) == NETWORKS


def test_a_click_shows_the_network(page):
    key, transform = points(page)[5]
    x, y = map(float, re.findall(r"[-\d.]+", transform))
    box = page.locator("#plot").bounding_box()
    page.mouse.click(box["x"] + x, box["y"] + y)
    frame = explored.networks()
    assert page.inner_text("#title") == frame["configuration"][int(key)]
    assert page.locator("#projection circle").count() == explored.POINTS
    assert page.locator("#diagram .h0").count() == 9 and page.locator("#diagram .h1").count() == 3
    facts = page.inner_text("#detail")
    assert f"{100 * frame['last'][int(key)]:.2f} % last" in facts and "margin" in facts
    assert page.locator(f"tr[data-i='{key}'].shown").count() == 1
    assert "0 selected" in status(page), "a click is no brush"


def test_projections_are_coloured_in_three_ways(page):
    def colours():
        dots = page.locator("#projection circle")
        return len(set(dots.evaluate_all("all => all.map(c => c.getAttribute('fill'))")))

    assert colours() == 2
    page.get_by_label("true class").check()
    assert colours() == 4
    page.get_by_label("candidate label").check()
    assert colours() == 10


def test_a_network_without_projection_says_so(page):
    last = explored.networks()["configuration"].iloc[-1]
    page.locator(f"tr[data-i='{NETWORKS - 1}'] button").click()
    assert page.inner_text("#title") == last
    assert "No projection was computed" in page.inner_text("#detail")
    assert page.locator("#projection").count() == page.locator("#diagram").count() == 0


def test_lines_join_networks_that_differ_in_one_factor(page):
    assert page.locator(".pair").count() == 0
    page.select_option("#join", "probability")
    assert page.locator(".pair").count() == NETWORKS // 3 * 2
    assert "lines join pairs that differ in probability only" in status(page)
    frame = explored.networks()
    ends = page.eval_on_selector_all(".pair", "l => l.map(q => [q.dataset.a, q.dataset.b])")
    for pair in ends:
        rest = frame.loc[list(map(int, pair)), ["norm", "activation", "inhibition", "seed"]]
        assert len(rest.drop_duplicates()) == 1
    page.get_by_label("Polar-FFA, sigmoid").uncheck()
    assert page.locator(".pair").count() == NETWORKS // 3


def test_the_table_sorts_by_its_headers_and_undefined_values_come_last(page):
    def column(number):
        return page.eval_on_selector_all(
            "#body tr", f"r => r.map(q => q.cells[{number}].textContent)"
        )

    header = page.locator("th[data-column='separability'] button")
    place = page.locator("th[data-column='separability']").evaluate("h => h.cellIndex")
    header.click()
    assert column(place) == sorted(column(place), reverse=True)
    header.click()
    assert column(place) == sorted(column(place))
    assert page.locator("th[aria-sort='ascending']").get_attribute("data-column") == "separability"
    page.select_option("#x", "hoyer")
    for _ in range(2):
        page.locator("th[data-column='hoyer'] button").click()
        assert column(place)[-1] == "–"


def test_a_row_and_its_mark_are_highlighted_together(page):
    page.locator("#body tr").nth(2).hover()
    key = page.locator("#body tr").nth(2).get_attribute("data-i")
    assert page.locator(".point.hot").get_attribute("data-i") == key
    assert page.is_visible("#tip")


def test_the_chart_is_used_with_the_keyboard_alone(page):
    page.locator("#plot").focus()
    page.keyboard.press("ArrowRight")
    leftmost = page.locator(".point.hot").get_attribute("data-i")
    at = {i: float(re.findall(r"[-\d.]+", t)[0]) for i, t in points(page)}
    assert at[leftmost] == min(at.values())
    page.keyboard.press("ArrowRight")
    second = page.locator(".point.hot").get_attribute("data-i")
    assert at[second] == sorted(at.values())[1]
    page.keyboard.press("Enter")
    assert page.inner_text("#title") == explored.networks()["configuration"][int(second)]
    page.keyboard.press("Space")
    assert rows(page) == 1
    page.keyboard.press("Escape")
    assert rows(page) == NETWORKS


def test_the_address_brings_back_what_was_shown(page):
    page.select_option("#x", "hoyer")
    page.select_option("#join", "norm")
    page.get_by_label("tanh").uncheck()
    page.locator("tr[data-i='7'] button, tr[data-i='6'] button").first.click()
    title, before, address = page.inner_text("#title"), points(page), page.url
    page.goto("about:blank")
    page.goto(address)
    assert points(page) == before and page.inner_text("#title") == title
    assert not page.get_by_label("tanh").is_checked()
    page.goto("about:blank")
    page.goto(page.address + "#x=nonsense&hide=norm:l9&network=none&accuracy=a-b&sort=__proto__")
    assert len(points(page)) == NETWORKS


def test_a_narrow_window_holds_everything(page):
    page.set_viewport_size({"width": 390, "height": 800})
    wide = page.evaluate("document.documentElement.scrollWidth")
    page.set_viewport_size({"width": 1280, "height": 900})
    assert wide <= 390


def test_what_data_say_is_shown_as_text(browser, tmp_path):
    frame = explored.networks()
    bad = "<img src=x onerror=alert(1)><b>x</b>"
    frame[["configuration", "dataset"]] = bad
    file = tmp_path / "page.html"
    file.write_text(explored.page(frame), encoding="utf-8")
    tab = browser.new_page()
    tab.on("dialog", lambda dialog: pytest.fail("data ran as a script"))
    tab.goto(file.as_uri())
    assert tab.inner_text("#title") == bad
    assert tab.locator("img, #body b").count() == 0
    tab.close()
