/** A DOM type that the declarations of `structured-headers` name; the server side of fixity does without the DOM library. */
type BufferSource = ArrayBufferView | ArrayBuffer;
