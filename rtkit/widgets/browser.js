/* What only the page can do: hand a file to the person, and say that it is still open. */
const EVERY = 5000; // ms; a page in the background may be held to once a minute

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
};
