// Elements are made and changed here. Text that came from outside goes into text nodes and attributes, never into markup.

// el makes an element: el("a", {href, class: "x"}, "text", child).
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null) node.setAttribute(name, value);
  }
  node.append(...children.filter((c) => c !== undefined && c !== null));
  return node;
}

const svgSpace = "http://www.w3.org/2000/svg";

export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(svgSpace, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

// icon shows one of the shapes that index.html defines.
export function icon(shape) {
  return svg("svg", { class: "icon", "aria-hidden": "true" }, svg("use", { href: `#shape-${shape}` }));
}

// say sets the text of a node unless it has it already, so that nothing is drawn in vain.
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// set sets an attribute unless it has that value; undefined takes it away.
export function set(node, name, value) {
  if (value === undefined) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, value);
  }
}

// arrange makes nodes the children of parent, in this order, and moves none that stands right. What had the focus keeps it.
export function arrange(parent, nodes) {
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  let at = parent.firstElementChild;
  for (const node of nodes) {
    if (node === at) at = at.nextElementSibling;
    else parent.insertBefore(node, at);
  }
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

// webAddress returns an address, which may be relative to base, if it is one of the web, and undefined for any other, as
// javascript: is.
export function webAddress(text, base) {
  try {
    const url = new URL(text, base);
    return url.protocol === "http:" || url.protocol === "https:" ? url.href : undefined;
  } catch {
    return undefined;
  }
}
