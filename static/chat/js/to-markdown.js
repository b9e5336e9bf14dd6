// The HTML of an answer back to Markdown, for the clipboard. It knows what the server renders, no more.

const INLINE = {
  STRONG: (text) => `**${text}**`,
  B: (text) => `**${text}**`,
  EM: (text) => `*${text}*`,
  I: (text) => `*${text}*`,
  S: (text) => `~~${text}~~`,
  DEL: (text) => `~~${text}~~`,
  A: (text, element) => (text === element.href ? text : `[${text}](${element.getAttribute("href")})`),
  BR: () => "\n",
  INPUT: (text, element) => (element.checked ? "[x] " : "[ ] "),
};
// The outline of an answer begins at h3.
const HEADING = /^H([3-6])$/;
const SILENT = "button, script, style, .code__bar, .visually-hidden";

export function toMarkdown(element) {
  return blocks(element).replace(/\n{3,}/g, "\n\n").trim();
}

function blocks(element) {
  return Array.from(element.childNodes, block).join("");
}

function block(node) {
  if (node.nodeType === Node.TEXT_NODE) return node.data.trim() ? node.data : "";
  if (node.nodeType !== Node.ELEMENT_NODE || node.matches(SILENT)) return "";
  const heading = HEADING.exec(node.tagName);
  if (heading) return `${"#".repeat(heading[1] - 2)} ${inline(node)}\n\n`;
  switch (node.tagName) {
    case "P":
      return `${inline(node)}\n\n`;
    case "UL":
    case "OL":
      return `${list(node)}\n\n`;
    case "BLOCKQUOTE":
      return `${indent(toMarkdown(node), "> ", "> ")}\n\n`;
    case "HR":
      return "---\n\n";
    case "PRE":
      return fence(node);
    case "TABLE":
      return `${table(node)}\n\n`;
    case "DETAILS":
      return "";
    default:
      return node.matches("div") ? `${blocks(node).trimEnd()}\n\n` : inlineNode(node);
  }
}

function inline(element) {
  return Array.from(element.childNodes, inlineNode).join("").trim();
}

function inlineNode(node) {
  if (node.nodeType === Node.TEXT_NODE) return node.data.replace(/\s+/g, " ");
  if (node.nodeType !== Node.ELEMENT_NODE || node.matches(SILENT)) return "";
  if (node.matches(".remote-image")) return `![${node.dataset.alt ?? ""}](${node.dataset.src})`;
  if (node.tagName === "CODE") return `\`${node.textContent}\``;
  if (node.tagName === "math") return node.getAttribute("display") === "block" ? `$$${tex(node)}$$` : `$${tex(node)}$`;
  const write = INLINE[node.tagName];
  const text = Array.from(node.childNodes, inlineNode).join("");
  return write ? write(text, node) : text;
}

function list(element) {
  let number = Number(element.getAttribute("start") ?? 1);
  return Array.from(element.children, (item) => {
    const bullet = element.tagName === "OL" ? `${number++}. ` : "- ";
    const tight = Array.from(item.childNodes, (node) =>
      node.matches?.("ul, ol, p, pre, div, blockquote, table") ? `\n${block(node)}` : inlineNode(node),
    );
    return indent(tight.join("").replace(/\n{2,}/g, "\n").trim(), bullet, " ".repeat(bullet.length));
  }).join("\n");
}

function fence(pre) {
  const language = pre.closest(".code")?.querySelector(".code__lang")?.textContent.trim() ?? "";
  const text = pre.textContent.replace(/\n$/, "");
  const ticks = "`".repeat(Math.max(3, ...Array.from(text.matchAll(/`+/g), ([run]) => run.length + 1)));
  return `${ticks}${language}\n${text}\n${ticks}\n\n`;
}

function table(element) {
  const rows = Array.from(element.rows, (row) => Array.from(row.cells, (cell) => inline(cell).replaceAll("|", "\\|")));
  const line = (cells) => `| ${cells.join(" | ")} |`;
  const [head, ...body] = rows;
  return [line(head), line(head.map(() => "---")), ...body.map(line)].join("\n");
}

function tex(math) {
  const source = math.querySelector("annotation")?.textContent ?? math.closest("[data-tex]")?.dataset.tex;
  return (source ?? math.getAttribute("alttext") ?? math.textContent).trim();
}

function indent(text, first, rest) {
  return text.split("\n").map((line, at) => (at ? rest : first) + line).join("\n");
}
