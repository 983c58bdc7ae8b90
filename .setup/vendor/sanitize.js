// In place of sanitize-html, which brings a CSS parser along: the sanitiser the pages use.
import DOMPurify from "dompurify";

export default function sanitize(html, { allowedTags }) {
  return DOMPurify.sanitize(html, { ALLOWED_TAGS: allowedTags });
}
