/* The search runs in a worker, and browsers refuse workers to pages that are opened as files. There an invisible frame
   takes the worker's place. The theme would load such a script from another host.

   After iframe-worker 1.0.4, whose licence (MIT) says:

   Copyright (c) 2020-2022 Martin Donath <martin.donath@squidfunk.com>

   Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
   documentation files (the "Software"), to deal in the Software without restriction, including without
   limitation the rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the
   Software, and to permit persons to whom the Software is furnished to do so, subject to the following
   conditions:

   The above copyright notice and this permission notice shall be included in all copies or substantial portions
   of the Software.

   THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED
   TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NON-INFRINGEMENT. IN NO EVENT
   SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN
   ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR
   OTHER DEALINGS IN THE SOFTWARE. */
"use strict";
(() => {
  if (location.protocol !== "file:") return;

  // Both are written into the frame as text.
  function postToParent(data, origin) {
    parent.postMessage(data, origin || "*");
  }
  function importInTurn(...urls) {
    return urls.reduce(
      (earlier, url) =>
        earlier.then(
          () =>
            new Promise((done) => {
              const script = document.createElement("script");
              script.src = url;
              script.onload = done;
              document.body.appendChild(script);
            }),
        ),
      Promise.resolve(),
    );
  }

  class FrameWorker extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      document.body.appendChild(this.frame);
      const page = this.frame.contentWindow;
      page.document.open();
      page.document.write(
        `<html><body><script>postMessage = ${postToParent}; importScripts = ${importInTurn};</` +
          `script><script src="${url}"></` +
          "script></body></html>",
      );
      page.document.close();
      this.ready = new Promise((done) => (page.onload = done));
      this.hear = (event) => {
        if (event.source !== page) return;
        this.dispatchEvent(new MessageEvent("message", { data: event.data }));
        if (this.onmessage) this.onmessage(event);
      };
      addEventListener("message", this.hear);
    }

    postMessage(data) {
      const page = this.frame.contentWindow;
      this.ready.then(() => page.dispatchEvent(new MessageEvent("message", { data: structuredClone(data) })));
    }

    terminate() {
      removeEventListener("message", this.hear);
      this.frame.remove();
    }
  }

  window.Worker = FrameWorker;
})();
