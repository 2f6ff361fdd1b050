/** DOM: elements built from names, attributes and children, never from markup. */

/**
 * Make an element. Attributes that are functions become event listeners; `null`, `undefined` and `false` leave an
 * attribute or a child out, `true` sets an empty attribute.
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (absent(value)) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => !absent(child)));
  return element;
}

/** Whether a key belongs to an input method that composes a word; Safari says so of the last one by its code alone. */
export function isComposing(event) {
  return event.isComposing || event.keyCode === 229;
}

function absent(value) {
  return value === null || value === undefined || value === false;
}

/**
 * Make `current`'s children equal to `wanted`'s, touching only what differs: a growing answer keeps its selection,
 * its focused footnote and its scroll position. `wanted` is used up.
 */
export function morph(current, wanted) {
  const next = [...wanted.childNodes];
  next.forEach((node, position) => {
    const old = current.childNodes[position];
    if (!old) current.append(node);
    else if (!alike(old, node)) old.replaceWith(node);
    else if (old.nodeType === Node.TEXT_NODE) setText(old, node.data);
    else {
      copyAttributes(old, node);
      morph(old, node);
    }
  });
  while (current.childNodes.length > next.length) current.lastChild.remove();
}

function alike(a, b) {
  return a.nodeType === b.nodeType && a.nodeName === b.nodeName;
}

function setText(node, text) {
  if (node.data === text) return;
  // Appending leaves a selection inside the old words alone; replacing would drop it.
  if (text.startsWith(node.data)) node.appendData(text.slice(node.data.length));
  else node.data = text;
}

function copyAttributes(target, source) {
  for (const { name } of [...target.attributes]) if (!source.hasAttribute(name)) target.removeAttribute(name);
  for (const { name, value } of source.attributes) {
    if (target.getAttribute(name) !== value) target.setAttribute(name, value);
  }
}
