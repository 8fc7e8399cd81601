/** A model on a server: where it is, what the request costs and under which id it can be found again. */

import { button } from "./controls.js";
import { h } from "./dom.js";

/**
 * @typedef {object} Request  what `status.remote` holds; see widgets/base.py
 * @prop {string} stage
 * @prop {string} words
 * @prop {number | null} position
 * @prop {string} id
 * @prop {string} host
 * @prop {number} size
 * @prop {number} up
 * @prop {number} down
 * @prop {number} seconds
 * @prop {string} estimate
 * @prop {number} requests
 */

/** Bytes as a person reads them. @param {number} count */
export function byteSize(count) {
  if (count < 1e3) return `${count} B`;
  return count < 1e6 ? `${(count / 1e3).toFixed(count < 1e4 ? 1 : 0)} kB` : `${(count / 1e6).toFixed(1)} MB`;
}

/**
 * One line below the title, there as long as the model is on a server. Nothing of it is read out: `iw-message` says the stages.
 * @param {import("@anywidget/types").AnyModel<any>} model
 * @param {AbortSignal} signal
 */
export function createRemote(model, signal) {
  const host = h("span", { class: "iw-remote-host" });
  const estimate = h("span", { class: "iw-remote-estimate" });
  const bytes = h("span", { class: "iw-count" });
  const id = h("code", { class: "iw-id", tabindex: -1 });
  const copy = button("Copy", signal, copyId, { class: "iw-close", "aria-label": "Copy the id of the job" });
  const job = h("span", { class: "iw-remote-job" }, "job ", id, copy);
  const element = h("p", { class: "iw-remote" }, host, bytes, job, estimate);
  let reset = 0;

  async function copyId() {
    const full = id.dataset.id ?? "";
    try {
      await navigator.clipboard.writeText(full);
      copy.textContent = "Copied";
    } catch { // a page that is not trusted with the clipboard: the person copies
      id.textContent = full;
      getSelection()?.selectAllChildren(id);
      copy.textContent = "Selected";
    }
    clearTimeout(reset);
    reset = setTimeout(() => { copy.textContent = "Copy"; }, 2000);
  }
  signal.addEventListener("abort", () => clearTimeout(reset));

  function draw() {
    const where = model.get("host");
    const request = /** @type {Request | null} */ (model.get("status")?.remote ?? null);
    element.hidden = !where && !request;
    host.textContent = `on ${(request?.host || where || "").replace(/^https?:\/\//, "")}`;
    estimate.textContent = request?.estimate ?? "";
    estimate.hidden = !request?.estimate;
    bytes.textContent = request ? [`${byteSize(request.up)} sent`, request.down ? `${byteSize(request.down)} fetched` : "",
      request.requests > 1 ? `${request.requests} requests` : ""].filter(Boolean).join(", ") : "";
    bytes.hidden = !request;
    job.hidden = !request?.id;
    if (request && id.dataset.id !== request.id) {
      id.dataset.id = id.title = request.id;
      id.textContent = request.id.length > 12 ? `${request.id.slice(0, 8)}…` : request.id;
    }
  }
  return { element, draw };
}
