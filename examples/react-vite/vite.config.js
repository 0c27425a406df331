/** In development, the page and fixity (`npx fixity serve`) share an origin. */
export default {
  server: { proxy: { "/uploads": "http://127.0.0.1:3000" } },
};
