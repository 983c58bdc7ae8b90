// Markdown to HTML, and HTML to what may stand in a page.
export { default as markdownIt } from "markdown-it";
export { default as DOMPurify } from "dompurify";
