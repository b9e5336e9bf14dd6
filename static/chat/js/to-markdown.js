// The HTML of an answer back to Markdown, for the clipboard. It knows what the server renders, no more.

const INLINE = {
  STRONG: (text) => `**${text}**`,
  EM: (text) => `*${text}*`,
  S: (text) => `~~${text}~~`,
  DEL: (text) => `~~${text}~~`,
  A: (text, link) => (leadsOn(link) && text !== link.href ? `[${text}](${link.getAttribute("href")})` : text),
  IMG: (_, image) => `![${image.alt}](${image.getAttribute("src")})`,
  BR: () => "\n",
  INPUT: (text, box) => (box.checked ? "[x]" : "[ ]"),
};
// Cited pages, pictures that open, and files that are still being fetched are no links in a text.
const leadsOn = (link) => link.matches("[href]:not(.page-ref, .made-open)");
// The outline of an answer begins at h3.
const HEADING = /^H([3-6])$/;
const BLOCK = "p, ul, ol, pre, div, blockquote, table, hr, h3, h4, h5, h6";
const SILENT = "button, details, .code__bar, .not-found, .visually-hidden";

export function toMarkdown(element) {
  return Array.from(element.childNodes, block).filter(Boolean).join("\n\n");
}

function block(node) {
  if (node.nodeType !== Node.ELEMENT_NODE) return (node.data ?? "").trim();
  if (node.matches(SILENT)) return "";
  const heading = HEADING.exec(node.tagName);
  if (heading) return `${"#".repeat(heading[1] - 2)} ${inline(node)}`;
  switch (node.tagName) {
    case "P":
      return inline(node);
    case "UL":
    case "OL":
      return list(node);
    case "BLOCKQUOTE":
      return indent(toMarkdown(node), "> ", "> ");
    case "HR":
      return "---";
    case "PRE":
      return fence(node);
    case "TABLE":
      return table(node);
    case "DIV":
      return toMarkdown(node);
    default:
      return inlineNode(node).trim();
  }
}

function inline(element) {
  return Array.from(element.childNodes, inlineNode).join("").trim();
}

function inlineNode(node) {
  if (node.nodeType === Node.TEXT_NODE) return node.data.replace(/\s+/g, " ");
  if (node.nodeType !== Node.ELEMENT_NODE || node.matches(SILENT)) return "";
  if (node.matches(".remote-image")) return `![${node.dataset.alt ?? ""}](${node.dataset.src})`;
  if (node.matches(".math-source")) return node.textContent;
  if (node.tagName === "CODE") return `\`${node.textContent}\``;
  if (node.tagName === "math") return formula(node);
  const text = Array.from(node.childNodes, inlineNode).join("");
  return INLINE[node.tagName]?.(text, node) ?? text;
}

function list(element) {
  let number = Number(element.getAttribute("start") ?? 1);
  const items = Array.from(element.children, (item) => {
    const bullet = element.tagName === "OL" ? `${number++}. ` : "- ";
    return indent(listItem(item), bullet, " ".repeat(bullet.length));
  });
  return items.join("\n");
}

/** The text of an item runs on; blocks in it stand on lines of their own. */
function listItem(item) {
  const lines = [""];
  for (const node of item.childNodes) {
    if (node.matches?.(BLOCK)) lines.push(block(node), "");
    else lines.push(lines.pop() + inlineNode(node));
  }
  return lines.map((line) => (line.includes("\n") ? line : line.replace(/ +/g, " ").trim())).filter(Boolean).join("\n");
}

function fence(pre) {
  const language = pre.closest(".code")?.querySelector(".code__lang")?.textContent.trim() ?? "";
  const text = pre.textContent.replace(/\n$/, "");
  const ticks = "`".repeat(Math.max(3, ...Array.from(text.matchAll(/`+/g), ([run]) => run.length + 1)));
  return `${ticks}${language}\n${text}\n${ticks}`;
}

function table(element) {
  const rows = Array.from(element.rows, (row) => Array.from(row.cells, (cell) => inline(cell).replaceAll("|", "\\|")));
  const line = (cells) => `| ${cells.join(" | ")} |`;
  const [head, ...body] = rows;
  return [line(head), line(head.map(() => "---")), ...body.map(line)].join("\n");
}

function formula(math) {
  const source = (math.getAttribute("alttext") ?? math.textContent).trim();
  return math.getAttribute("display") === "block" ? `$$\n${source}\n$$` : `$${source}$`;
}

function indent(text, first, rest) {
  return text.split("\n").map((line, at) => (at ? (line ? rest + line : rest.trimEnd()) : first + line)).join("\n");
}
