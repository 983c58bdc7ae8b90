// @ts-check
// The way to the page and back. Only the page is listened to, not other frames.

/** @param {{type: string, [key: string]: unknown}} message */
export function tell(message) {
  parent.postMessage(message, "*"); // nothing in it is secret: outputs came from the page
}

/** @param {Record<string, (message: any) => unknown>} handlers by the type of message */
export function listen(handlers) {
  addEventListener("message", ({ source, data }) => {
    if (source === parent && parent !== window) handlers[data?.type]?.(data);
  });
}
