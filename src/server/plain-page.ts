/**
 * The page where the real one was not built, as after `npm ci --ignore-scripts` in a checkout: a form, which works in
 * every browser. It has places for each `{{name}}`, as the real one.
 */
export const PLAIN_PAGE = `<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <title>fixity: files in, permanent links out</title>
  </head>
  <body data-uploads="{{uploads}}" data-max-size="{{maxSize}}" data-needs-token="{{needsToken}}">
    <h1>fixity</h1>
    <p>Upload a file and get a permanent link that always returns exactly that file.</p>
    <form method="post" action="{{uploads}}" enctype="multipart/form-data">
      <p><label>File, up to {{maxSizeText}}: <input type="file" name="upload" required /></label></p>
      <p><button type="submit">Upload</button></p>
    </form>
    <p>Where a token is needed, upload from a terminal: this form cannot send one.</p>
    <pre>curl -F upload=@FILE {{address}}</pre>
  </body>
</html>
`;
