// On pages opened from disk a browser starts no Web Worker, so the theme's search runs in a hidden frame instead.
if (location.protocol === "file:") {
  window.Worker = class IFrameWorker extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inner = frame.contentWindow;
      // What the script posts arrives here, as a worker's messages do.
      inner.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
      const script = frame.contentDocument.createElement("script");
      script.src = url;
      this.started = new Promise((resolve) => script.addEventListener("load", resolve));
      this.deliver = (data) => inner.dispatchEvent(new inner.MessageEvent("message", { data }));
      this.terminate = () => frame.remove();
      frame.contentDocument.body.append(script);
    }

    postMessage(data) {
      this.started.then(() => this.deliver(data));
    }
  };
}
