// What happens in the player: it is the handler of each event, as an attribute of its element,
// because a page that sets innerHTML, as widgets do, runs no script element.
const box = this.closest(".rt-playback"), audio = box.querySelector("audio");
const {speed, left, across} = box.dataset;

if (event.type === "click") {
  const seen = this.getBoundingClientRect();
  const at = ((event.clientX - seen.left) / seen.width - left) / across;
  audio.currentTime = Math.max(0, at) / speed;
} else {
  if (!audio.follow) {
    const cursor = box.querySelector(".rt-cursor");
    const words = [...box.querySelectorAll("[data-said]")].map(
      word => [word, Number(word.dataset.said), Number(word.dataset.seen), word.parentElement]);
    audio.follow = () => {
      const now = audio.currentTime * speed;
      box.dataset.at = now.toFixed(2);
      cursor.style.left = `${100 * (Number(left) + now * across)}%`;
      for (const [word, said, seen, row] of words) {
        const look = now < said ? "" : now < seen ? "rt-said" : "rt-seen";
        if (word.className === look) continue;
        word.className = look;
        if (look) row.scrollTop = word.offsetTop - row.clientHeight / 2;
      }
      cancelAnimationFrame(audio.next);  // of two that follow, one is enough
      if (!audio.paused && audio.isConnected) audio.next = requestAnimationFrame(audio.follow);
    };
  }
  audio.follow();
}
