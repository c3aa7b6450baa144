"""A headless Chromium without any driver: DevTools messages through a pair of pipes
(https://chromedevtools.github.io/devtools-protocol)."""

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

# What is wrong with the page as it stands: pictures that did not render, text over text, text that
# leaves its picture or the page.
LOOK = r"""
(() => {
  const wrong = [];
  for (const image of document.images)
    if (!image.complete || image.naturalWidth === 0) wrong.push("broken image: " + image.alt);
  for (const svg of document.querySelectorAll("svg")) {
    const box = svg.getBoundingClientRect();
    if (box.width < 100 || box.height < 50) wrong.push("small picture: " + svg.ariaLabel);
  }
  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walker.nextNode());) {
    const parent = node.parentElement;
    if (!node.data.trim() || !parent.checkVisibility() || parent.closest("title")) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const svg = parent.closest("svg");
    const frame = svg && svg.getBoundingClientRect();
    for (const box of range.getClientRects()) {
      if (box.width < 1) continue;
      texts.push({ node, box });
      if (frame && (box.left < frame.left - 1 || box.right > frame.right + 1 ||
                    box.top < frame.top - 1 || box.bottom > frame.bottom + 1))
        wrong.push("text is cut off: " + node.data);
    }
  }
  const margin = 1.5;
  for (let i = 0; i < texts.length; ++i)
    for (let k = i + 1; k < texts.length; ++k) {
      const a = texts[i].box, b = texts[k].box;
      if (texts[i].node !== texts[k].node && a.left + margin < b.right && b.left + margin < a.right &&
          a.top + margin < b.bottom && b.top + margin < a.bottom)
        wrong.push("text over text: " + texts[i].node.data + " | " + texts[k].node.data);
    }
  const page = document.scrollingElement;
  if (page.scrollWidth > page.clientWidth) wrong.push("the page scrolls sideways");
  return { wrong, texts: texts.length, images: document.images.length,
           pictures: document.querySelectorAll("svg").length };
})()
"""


class Browser:
    def __init__(self):
        self.profile = tempfile.TemporaryDirectory(prefix="cifar-ddp-browser-")
        to_read, self.write_end = os.pipe()
        self.read_end, to_write = os.pipe()
        # The browser reads from 3 and writes to 4; the shell moves them there from above 10.
        high = [fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (to_read, to_write)]
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$@" 3<&{high[0]} 4>&{high[1]}', "browser", CHROMIUM,
             "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             "--hide-scrollbars", "--remote-debugging-pipe", f"--user-data-dir={self.profile.name}",
             "about:blank"],
            pass_fds=high, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True)
        for end in (to_read, to_write, *high):
            os.close(end)
        self.buffer, self.last_id, self.events = b"", 0, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = None
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.session = None
        try:
            self.call("Browser.close")
            self.process.wait(timeout=20)
        finally:
            self.process.kill()
            self.process.wait()
            os.close(self.write_end)
            os.close(self.read_end)
            self.profile.cleanup()

    def _receive(self, deadline):
        while b"\0" not in self.buffer:
            ready, _, _ = select.select([self.read_end], [], [], max(0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            chunk = os.read(self.read_end, 1 << 16)
            assert chunk, "the browser has ended"
            self.buffer += chunk
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def call(self, method, **parameters):
        self.last_id += 1
        message = {"id": self.last_id, "method": method, "params": parameters}
        if getattr(self, "session", None):
            message["sessionId"] = self.session
        os.write(self.write_end, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + 60
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == self.last_id:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def wait_for(self, method):
        deadline = time.monotonic() + 60
        while not any(event.get("method") == method for event in self.events):
            self.events.append(self._receive(deadline))

    def open(self, path, width, height, dark):
        """Loads a file; what the browser complained of and what it asked the network for."""
        self.events = []
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)
        self.call("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.call("Page.navigate", url=path.as_uri())
        self.wait_for("Page.loadEventFired")
        complaints = [event for event in self.events if event.get("method") in
                      ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded")]
        requests = [event["params"]["request"]["url"] for event in self.events
                    if event.get("method") == "Network.requestWillBeSent"]
        return complaints, [url for url in requests
                            if not url.startswith("data:") and url != path.as_uri()]

    def evaluate(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"]["value"]

    def look(self):
        return self.evaluate(LOOK)

    def screenshot(self, path):
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        picture = self.call("Page.captureScreenshot", captureBeyondViewport=True,
                            clip={**size, "x": 0, "y": 0, "scale": 1})
        path.write_bytes(base64.b64decode(picture["data"]))
