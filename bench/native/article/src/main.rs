//! The upload service that an article describes: a form's file is hashed while it streams to a
//! temporary key of a bucket, is copied to `<sha256>.<ext>`, and the temporary key is deleted.
//!
//! Started as `article ENDPOINT REGION BUCKET ACCESS_KEY SECRET_KEY`; prints the port on which it
//! listens on loopback.

use std::{env, error::Error, io, pin::pin, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Multipart, State, multipart::Field},
    http::StatusCode,
    routing::post,
};
use futures_util::TryStreamExt;
use s3::{Bucket, Region, creds::Credentials};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_util::io::{InspectReader, StreamReader};
use uuid::Uuid;

type Answer = Result<(StatusCode, String), (StatusCode, String)>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let bucket = Arc::new(*bucket_of_arguments()?);
    let app = Router::new()
        .route("/uploads", post(upload))
        .layer(DefaultBodyLimit::disable())
        .with_state(bucket);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    axum::serve(listener, app).await?;
    Ok(())
}

fn bucket_of_arguments() -> Result<Box<Bucket>, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [endpoint, region, name, access_key, secret_key] = arguments.as_slice() else {
        return Err("usage: article ENDPOINT REGION BUCKET ACCESS_KEY SECRET_KEY".into());
    };
    let region = Region::Custom {
        region: region.clone(),
        endpoint: endpoint.clone(),
    };
    let credentials = Credentials::new(Some(access_key), Some(secret_key), None, None, None)?;
    Ok(Bucket::new(name, region, credentials)?.with_path_style())
}

/// Stores the form's first file and answers with its link.
async fn upload(State(bucket): State<Arc<Bucket>>, mut form: Multipart) -> Answer {
    while let Some(field) = form.next_field().await.map_err(bad_request)? {
        if field.file_name().is_some() {
            return store(&bucket, field).await;
        }
    }
    Err((StatusCode::BAD_REQUEST, "the form has no file".to_owned()))
}

async fn store(bucket: &Bucket, field: Field<'_>) -> Answer {
    let extension = extension_of(field.file_name().unwrap_or_default());
    let content_type = field
        .content_type()
        .unwrap_or("application/octet-stream")
        .to_owned();
    let temporary = format!("tmp/{}", Uuid::new_v4());

    let mut hash = Sha256::new();
    let content = StreamReader::new(field.map_err(io::Error::other));
    let mut hashed = pin!(InspectReader::new(content, |bytes| hash.update(bytes)));
    bucket
        .put_object_stream_with_content_type(&mut hashed, &temporary, &content_type)
        .await
        .map_err(bad_gateway)?;

    let name = format!("{}{extension}", hex::encode(hash.finalize()));
    let copied = bucket
        .copy_object_internal(&temporary, format!("uploads/{name}"))
        .await;
    bucket
        .delete_object(&temporary)
        .await
        .map_err(bad_gateway)?;
    copied.map_err(bad_gateway)?;
    Ok((StatusCode::CREATED, format!("/uploads/{name}")))
}

/// The extension with its dot, in lower case; empty if the name has none that fits a link.
fn extension_of(name: &str) -> String {
    match name.rsplit_once('.') {
        Some((_, extension))
            if !extension.is_empty()
                && extension.bytes().all(|byte| byte.is_ascii_alphanumeric()) =>
        {
            format!(".{}", extension.to_ascii_lowercase())
        }
        _ => String::new(),
    }
}

fn bad_request(error: impl Error) -> (StatusCode, String) {
    (StatusCode::BAD_REQUEST, error.to_string())
}

fn bad_gateway(error: impl Error) -> (StatusCode, String) {
    (StatusCode::BAD_GATEWAY, error.to_string())
}
