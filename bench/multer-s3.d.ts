declare module "multer-s3" {
  import type { S3Client } from "@aws-sdk/client-s3";
  import type { StorageEngine } from "multer";

  /** multer-s3 brings no types: as much of them as the benchmark needs. */
  export default function multerS3(options: { readonly s3: S3Client; readonly bucket: string }): StorageEngine;
}
