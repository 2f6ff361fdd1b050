/** Icons: small line drawings, hidden from screen readers; the button around one has the name. */

const SHAPES = {
  menu: "M3 6h18M3 12h18M3 18h12",
  close: "M5 5l14 14M19 5L5 19",
  plus: "M12 4v16M4 12h16",
  send: "M12 20V5M5 11.5L12 4.5l7 7",
  stop: "M7 7h10v10H7z",
  trash: "M4 7h16M9.5 7V4.5h5V7M6.5 7l1 12.5h9l1-12.5M10.5 11v5M13.5 11v5",
  sun:
    "M12 8a4 4 0 100 8 4 4 0 000-8zM12 2v2.5M12 19.5V22M2 12h2.5M19.5 12H22" +
    "M4.9 4.9l1.8 1.8M17.3 17.3l1.8 1.8M4.9 19.1l1.8-1.8M17.3 6.7l1.8-1.8",
  moon: "M19.5 14.5A8 8 0 119.5 4.5a6.5 6.5 0 0010 10z",
  down: "M12 5v14M5.5 12.5L12 19l6.5-6.5",
  copy: "M9 9h11v11H9zM15 9V4H4v11h5",
  again: "M19.5 12a7.5 7.5 0 11-2.3-5.4M19.5 3.5v4h-4",
  liked:
    "M7.5 11v9H4v-9zM7.5 11l4-8c1.7 0 2.6 1.2 2.3 2.8L13.2 9.5h5" +
    "c1.3 0 2.2 1.1 1.9 2.4l-1.4 6.4c-.2 1-1.1 1.7-2.1 1.7H7.5",
  disliked:
    "M16.5 13V4H20v9zM16.5 13l-4 8c-1.7 0-2.6-1.2-2.3-2.8l.6-3.7h-5" +
    "c-1.3 0-2.2-1.1-1.9-2.4l1.4-6.4c.2-1 1.1-1.7 2.1-1.7h9.1",
  check: "M4.5 12.5l5 5 10-11",
  previous: "M14.5 5L7.5 12l7 7",
  next: "M9.5 5l7 7-7 7",
  outside: "M14 4h6v6M20 4l-9 9M18 14v6H4V6h6",
};
const SVG = "http://www.w3.org/2000/svg";

/** A drawing by its name. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  const attributes = { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true", focusable: "false" };
  for (const [key, value] of Object.entries(attributes)) svg.setAttribute(key, value);
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", SHAPES[name]);
  svg.append(path);
  return svg;
}
