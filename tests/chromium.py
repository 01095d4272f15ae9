"""A headless Chromium that opens pages as readers do: wide or narrow, light or dark."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PATIENCE_SECONDS = 60


class Browser:
    """Speaks the DevTools protocol through two pipes: no port, no driver, no package."""

    def __init__(self, profile: Path):
        from_us, to_browser = os.pipe()
        from_browser, to_us = os.pipe()
        flags = [
            *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={profile}"),
            *("--disable-extensions", "--no-first-run", "--force-color-profile=srgb"),
        ]
        # The protocol's pipes are the numbers 3 and 4.
        shell = f'exec chromium "$@" 3<&{from_us} 4>&{to_us}'
        self._process = subprocess.Popen(
            ["bash", "-c", shell, "chromium", *flags],
            pass_fds=(from_us, to_us),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(from_us)
        os.close(to_us)
        self._out = os.fdopen(to_browser, "wb", buffering=0)
        self._in = os.fdopen(from_browser, "rb", buffering=0)
        self._pending = b""
        self._numbers = itertools.count(1)
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Returns the result of a command; what happens meanwhile is kept in ``events``."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._out.write(json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") != number:
                self.events.append(answer)
                continue
            if "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']}")
            return answer["result"]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._pending:
            part = os.read(self._in.fileno(), 1 << 20)
            if not part:
                raise RuntimeError("Chromium ended.")
            self._pending += part
        first, self._pending = self._pending.split(b"\0", 1)
        return json.loads(first)

    def close(self) -> None:
        with contextlib.suppress(RuntimeError, OSError):
            self.call("Browser.close")
        self._process.wait(_PATIENCE_SECONDS)
        self._out.close()
        self._in.close()


class Page:
    """One page that is open.

    Args:
        browser: opens it.
        file: an HTML file.
        width: of the window, in CSS pixels.
        height: likewise.
        dark: whether the reader likes it dark.
        script: whether scripts may run.
        touch: whether it is a phone.
    """

    def __init__(
        self,
        browser: Browser,
        file: Path,
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        script: bool = True,
        touch: bool = False,
    ):
        self._browser = browser
        self._target = browser.call("Target.createTarget", url="about:blank")["targetId"]
        attached = browser.call("Target.attachToTarget", targetId=self._target, flatten=True)
        self._session = attached["sessionId"]
        self._size = {"width": width, "height": height}
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")
        self.prefer(dark=dark)
        self._call(
            "Emulation.setDeviceMetricsOverride", **self._size, deviceScaleFactor=1, mobile=touch
        )
        if touch:
            self._call("Emulation.setTouchEmulationEnabled", enabled=True)
        if not script:
            self._call("Emulation.setScriptExecutionDisabled", value=True)
        self._call("Page.navigate", url=file.resolve().as_uri())
        self._wait_for_event("Page.loadEventFired")

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **parameters)

    def _own(self, method: str) -> list[dict[str, Any]]:
        return [
            event["params"]
            for event in self._browser.events
            if event.get("sessionId") == self._session and event.get("method") == method
        ]

    def _wait_for_event(self, method: str) -> None:
        end = time.monotonic() + _PATIENCE_SECONDS
        while not self._own(method):
            if time.monotonic() > end:
                raise TimeoutError(method)
            self._call("Page.getFrameTree")  # events come with answers
            time.sleep(0.02)

    def prefer(self, *, dark: bool) -> None:
        """Sets what the reader likes."""
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self._call("Emulation.setEmulatedMedia", features=[scheme])

    def value(self, expression: str) -> Any:
        """Returns what an expression is in the page; works where its own scripts may not run."""
        answer = self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def wait_until(self, expression: str) -> None:
        """Returns when an expression holds."""
        end = time.monotonic() + _PATIENCE_SECONDS
        while not self.value(f"!!({expression})"):
            if time.monotonic() > end:
                raise TimeoutError(expression)
            time.sleep(0.05)

    def errors(self) -> list[str]:
        """Returns what the page complained about."""
        logged = [each["entry"]["text"] for each in self._own("Log.entryAdded")]
        thrown = [str(each["exceptionDetails"]) for each in self._own("Runtime.exceptionThrown")]
        said = [
            str(each["args"])
            for each in self._own("Runtime.consoleAPICalled")
            if each["type"] in ("error", "warning")
        ]
        return [*logged, *thrown, *said]

    def point_at(self, selector: str, across: float = 0.5, along: float = 0.5) -> None:
        """Moves the pointer to a share of an element's width and height."""
        self.value(f"document.querySelector({selector!r}).scrollIntoView({{block: 'center'}})")
        x, y, width, height = self.value(
            f"(box => [box.x, box.y, box.width, box.height])"
            f"(document.querySelector({selector!r}).getBoundingClientRect())"
        )
        at = {"x": x + across * width, "y": y + along * height}
        for nudge in (-3, 0):
            moved = {"x": at["x"] + nudge, "y": at["y"]}
            self._call("Input.dispatchMouseEvent", type="mouseMoved", **moved)

    def picture(self, *, whole: bool = True) -> bytes:
        """Returns a PNG of the page, or of what is in view."""
        answer = self._call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=whole, **self._clip(whole)
        )
        return base64.b64decode(answer["data"])

    def _clip(self, whole: bool) -> dict[str, Any]:
        if not whole:
            return {}
        size = self._call("Page.getLayoutMetrics")["cssContentSize"]
        return {"clip": {"x": 0, "y": 0, "scale": 1, **{k: size[k] for k in ("width", "height")}}}

    def close(self) -> None:
        self._browser.call("Target.closeTarget", targetId=self._target)


@contextlib.contextmanager
def started(profile: Path) -> Iterator[Browser]:
    """Yields a browser with a profile of its own."""
    browser = Browser(profile)
    try:
        yield browser
    finally:
        browser.close()
