/* What only the page can do: hand a file to the person, and say that it is still open. */
const EVERY = 5000; // ms; a page in the background may be held to once a minute

// A field that is marked says so to a screen reader, with the sentence that stands beside it: its
// own, or else the panel's.
function explain(panel) {
  for (const field of panel.querySelectorAll(".rt-stacked")) {
    const input = field.querySelector("input, select");
    const refused = field.classList.contains("rt-refused");
    const said = (field.closest(".rt-number") ?? panel.querySelector(".rt-status")).querySelector("[role=alert]");
    if (said) said.id ||= `rt-${crypto.randomUUID?.() ?? Math.random()}`;
    for (const [name, value] of [["aria-invalid", refused], ["aria-describedby", refused && said?.id]])
      if (!value) input?.removeAttribute(name);
      else if (input.getAttribute(name) !== `${value}`) input.setAttribute(name, value);
  }
}

export default {
  initialize({ model }) {
    model.on("msg:custom", ({ name, type }, buffers) => {
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob(buffers, { type }));
      link.download = name;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    });
    // A notebook's kernel outlives its page; a kernel of Voila's has no other.
    if (document.body.dataset.voila === undefined) return;
    const tell = page => model.send({ page });
    tell("open");
    const telling = setInterval(() => tell("open"), EVERY);
    const leave = () => tell("closed");
    window.addEventListener("pagehide", leave);
    return () => {
      clearInterval(telling);
      window.removeEventListener("pagehide", leave);
    };
  },
  render({ el }) {
    let panel = null, asked = 0;
    const looking = new MutationObserver(() => explain(panel));
    const begin = () => {  // it is put into the page a little later
      panel = el.closest(".rt-panel");
      if (!panel) return asked = requestAnimationFrame(begin);
      looking.observe(panel, { subtree: true, childList: true, attributeFilter: ["class"] });
      explain(panel);
    };
    begin();
    return () => {
      cancelAnimationFrame(asked);
      looking.disconnect();
    };
  },
};
