"""Airflow's pages in Debian's Chromium, headless."""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from airflow_vectordb.demo.airflow import USER
from airflow_vectordb.hooks.connection_fields import HOOK_NAME

CHROMIUM = Path("/usr/bin/chromium")
#: It runs as root in containers, and is to look for nothing on its own.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: Milliseconds that anything may take to show, on a machine that others keep busy.
PATIENCE = 120_000.0
VIEWPORT: ViewportSize = {"width": 1280, "height": 900}
#: Notes what is shown in messages, which go by themselves, sooner than a busy machine may look.
NOTE_MESSAGES = """
window.shownMessages = {};
new MutationObserver(() => {
  for (const message of document.querySelectorAll("[data-scope=toast][data-part=root]")) {
    const [title, text] = ["title", "description"].map(
      part => message.querySelector(`[data-part=${part}]`)?.textContent);
    if (title && text) window.shownMessages[message.id] = [title, text];
  }
}).observe(document, {subtree: true, childList: true, characterData: true});
"""
#: Whether the page shows all of some texts.
SHOWN = """
wanted => {
  const text = document.body.innerText.replace(/\\s/g, "");
  return wanted.every(part => text.includes(part));
}
"""
#: Pictures are taken only for a run that names this variable's directory.
PICTURES_VARIABLE = "AIRFLOW_VECTORDB_PICTURES"


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium, with a profile that is removed at the end."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=PATIENCE)
        try:
            yield browser
        finally:
            browser.close()


class Pages:
    """
    One Airflow's pages, in a window of their own.

    :param browser: opens the window
    :param url: Airflow's
    :param traffic: file for all that its API says to the browser, written by :meth:`close`
    """

    def __init__(self, browser: Browser, url: str, traffic: Path) -> None:
        self.url = url
        self._traffic = traffic
        self._context = browser.new_context(
            base_url=url,
            viewport=VIEWPORT,
            color_scheme="light",
            locale="en-US",
            record_har_path=traffic,
            record_har_content="embed",
            record_har_url_filter=re.compile(r"/(api/v2|ui)/"),
        )
        self._context.set_default_timeout(PATIENCE)
        self._context.set_default_navigation_timeout(PATIENCE)
        self._context.add_init_script(NOTE_MESSAGES)
        self.page: Page = self._context.new_page()

    def close(self) -> dict[str, str]:
        """Close the window, and read what Airflow's API has said: all answers, by request."""
        self._context.close()
        said: dict[str, str] = {}
        for entry in json.loads(self._traffic.read_text())["log"]["entries"]:
            request = f"{entry['request']['method']} {entry['request']['url'].removeprefix(self.url)}"
            content = entry["response"]["content"]
            text = content.get("text", "")
            if content.get("encoding") == "base64":
                text = base64.b64decode(text).decode(errors="replace")
            said[request] = said.get(request, "") + text
        return said

    def picture(self, name: str, part: Locator | None = None, *, width: int = 1280, height: int) -> None:
        """
        Take a picture, if this run is to take any.

        :param name: of the file; empty: none is taken
        :param part: of that alone
        :param width: of the window, in pixels
        :param height: of the window, in pixels
        """
        directory = os.environ.get(PICTURES_VARIABLE)
        if directory and name:
            self.page.set_viewport_size({"width": width, "height": height})
            (part or self.page).screenshot(path=Path(directory) / f"{name}.png", animations="disabled", caret="hide")
            self.page.set_viewport_size(VIEWPORT)

    def log_in(self, password: str) -> None:
        """Log in, and open the page of connections."""
        self.page.goto("/connections")
        self.page.locator("input[name=username]").fill(USER)
        self.page.locator("input[name=password]").fill(password)
        self.page.locator("button[type=submit]").click()
        expect(self.page.get_by_role("button", name="Add Connection")).to_be_visible()

    def add_connection(self, connection_id: str) -> ConnectionForm:
        """Open the form for a new connection, and choose the type."""
        self.page.get_by_role("button", name="Add Connection").click()
        form = ConnectionForm(self.page)
        form.field("connection_id").fill(connection_id)
        choice = form.dialog.get_by_role("combobox")
        choice.click()
        choice.press_sequentially("Milvus")
        self.page.get_by_role("option", name=HOOK_NAME, exact=True).click()
        return form

    def edit_connection(self) -> ConnectionForm:
        """Open the form for the only connection that there is."""
        self.page.get_by_role("button", name="Edit Connection").click()
        return ConnectionForm(self.page)

    def test_connection(self, picture: str) -> tuple[str, str]:
        """Press the Test button of the only connection, and take a picture; return title and text of the answer."""
        self.page.reload()  # no older message is in the way
        self.page.get_by_role("button", name="Test Connection").click()
        # It goes after some seconds; what was shown is kept by NOTE_MESSAGES.
        shown = self.page.wait_for_function("Object.values(window.shownMessages)[0]")
        if os.environ.get(PICTURES_VARIABLE):
            with suppress(PlaywrightError):
                self.page.get_by_role("status").hover(timeout=2_000)  # it stays as long as the pointer is on it
            self.picture(picture, height=480)
        title, text = shown.json_value()
        return title, text

    def trigger(self, dag_id: str) -> None:
        """Run a DAG with the Trigger button and the values that its form begins with."""
        self.page.goto(f"/dags/{dag_id}")
        self.page.get_by_role("button", name="Trigger").first.click()
        dialog = self.page.get_by_role("dialog")
        dialog.get_by_role("button", name="Trigger", exact=True).click()
        dialog.wait_for(state="hidden")

    def task(self, dag_id: str, run_id: str, task_id: str, tab: str = "") -> Page:
        """Open a task's page, with one of its tabs."""
        self.page.goto(f"/dags/{dag_id}/runs/{quote(run_id, safe='')}/tasks/{task_id}{tab}")
        return self.page

    def shows(self, *texts: str) -> str:
        """
        Wait until the page shows some texts, apart from white space, which pages put anywhere into JSON.

        :return: the page's HTML
        """
        wanted = ["".join(text.split()) for text in texts]
        try:
            self.page.wait_for_function(SHOWN, arg=wanted)
        except PlaywrightError as error:
            raise AssertionError(f"{texts} not all in:\n{self.page.locator('body').inner_text()}") from error
        return self.page.content()

    def follow(self, name: str) -> str:
        """Click a link that leads out of Airflow; return where it leads to. Nobody needs to be there."""
        self._context.route(
            lambda url: not url.startswith(self.url), lambda route: route.fulfill(body="a page elsewhere")
        )
        with self.page.expect_popup() as opened:
            self.page.get_by_role("link", name=name, exact=True).click()
        opened.value.wait_for_load_state()
        url = opened.value.url
        opened.value.close()
        return url


class ConnectionForm:
    """
    The form for a connection.

    :param page: on which it is open
    """

    def __init__(self, page: Page) -> None:
        self.dialog = page.get_by_role("dialog")
        self.field("connection_id").wait_for()

    def field(self, name: str) -> Locator:
        """One of Airflow's own fields, or with ``element_`` before its name one of ours."""
        return self.dialog.locator(f"[name={name}]")

    def unfold(self, title: str) -> None:
        """Open a group of fields; the one that was open closes."""
        self.dialog.get_by_role("button", name=title, exact=True).click()

    def look(self, name: str) -> dict[str, str]:
        """See what a field looks like: its text (label and help), kind, type, placeholder, and value."""
        field = self.field(name)
        seen = {key: field.get_attribute(key) or "" for key in ("type", "placeholder", "role")}
        seen["text"] = field.locator("xpath=ancestor::div[@role='group'][1]").inner_text().strip()
        if seen["type"] == "checkbox":
            return {**seen, "kind": "switch", "value": "on" if field.is_checked() else "off"}
        tag = str(field.evaluate("field => field.tagName"))
        kind = {"spinbutton": "number"}.get(seen["role"], {"INPUT": "text"}.get(tag, tag.lower()))
        return {**seen, "kind": kind, "value": field.input_value()}

    def save(self) -> None:
        """Press Save, and wait until the form is gone."""
        self.dialog.get_by_role("button", name="Save").click()
        self.dialog.wait_for(state="hidden")


__all__ = ["CHROMIUM", "ConnectionForm", "Pages", "chromium"]
