// Formulas, loaded when the first one is shown; katex.css is beside it.
export { default } from "katex";
export { render } from "katex";
