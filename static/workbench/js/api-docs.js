// The native API's schema as a page: Swagger UI, which is loaded before this and is no module.

const place = /** @type {HTMLElement} */ (document.getElementById("api"));

/** @type {any} */ (window).SwaggerUIBundle({
  url: place.dataset.schema,
  domNode: place,
  deepLinking: true,
  displayOperationId: true,
  displayRequestDuration: true,
  // Nobody else is asked whether the schema is valid.
  validatorUrl: null,
});
