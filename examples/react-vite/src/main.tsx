import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Uploads } from "./uploads.tsx";

const root = document.querySelector("#root");
if (root !== null) {
  createRoot(root).render(
    <StrictMode>
      <Uploads />
    </StrictMode>,
  );
}
