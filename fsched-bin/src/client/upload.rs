//! A file as a multipart body: its length is known beforehand, and it is read while it is sent.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use actix_web::body::SizedStream;
use actix_web::web::Bytes;
use futures_util::stream::{self, Stream};

use super::ClientError;

/// How much of the file is read at once.
const CHUNK: usize = 64 << 10;

/// A form with some texts and one file.
pub(super) struct Form {
    boundary: String,
    head: Bytes,
    file: File,
    path: PathBuf,
    length: u64,
    tail: Bytes,
}

impl Form {
    /// Opens the file and writes what goes around it.
    pub(super) fn open(path: &Path, file_name: &str, fields: &[(&str, String)]) -> Result<Self, ClientError> {
        let unreadable = |reason: String| ClientError::File { path: path.to_owned(), reason };
        let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
        let metadata = file.metadata().map_err(|error| unreadable(error.to_string()))?;
        if !metadata.is_file() {
            return Err(unreadable("not a file".to_owned()));
        }
        let boundary = boundary(file_name, fields);
        let mut head = String::new();
        for (name, value) in fields {
            head += &format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            );
        }
        head += &format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n",
            quoted(file_name)
        );
        let tail = format!("\r\n--{boundary}--\r\n");
        Ok(Self {
            boundary,
            head: head.into(),
            file,
            path: path.to_owned(),
            length: metadata.len(),
            tail: tail.into(),
        })
    }

    pub(super) fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// The whole body.
    pub(super) fn into_body(self) -> SizedStream<impl Stream<Item = Result<Bytes, ClientError>> + 'static> {
        let length = self.head.len() as u64 + self.length + self.tail.len() as u64;
        let content = stream::unfold(Some((self.file, self.path, self.length)), next_chunk);
        let once = |bytes| stream::iter([Ok(bytes)]);
        let parts =
            stream::StreamExt::chain(stream::StreamExt::chain(once(self.head), content), once(self.tail));
        SizedStream::new(length, Box::pin(parts))
    }
}

type Rest = Option<(File, PathBuf, u64)>;

/// The next bytes of the file; an error where it became shorter. What it grew by is not sent.
async fn next_chunk(rest: Rest) -> Option<(Result<Bytes, ClientError>, Rest)> {
    let (mut file, path, left) = rest?;
    if left == 0 {
        return None;
    }
    let mut chunk = vec![0; CHUNK.min(usize::try_from(left).unwrap_or(CHUNK))];
    match file.read(&mut chunk) {
        Ok(0) => Some((Err(ClientError::File { path, reason: "it became shorter".to_owned() }), None)),
        Ok(read) => {
            chunk.truncate(read);
            Some((Ok(chunk.into()), Some((file, path, left - read as u64))))
        }
        Err(error) => Some((Err(ClientError::File { path, reason: error.to_string() }), None)),
    }
}

/// A boundary that none of the texts holds; the file is told by its length on our side, and by a boundary that is
/// long and odd on the other.
fn boundary(file_name: &str, fields: &[(&str, String)]) -> String {
    let taken = |boundary: &str| {
        file_name.contains(boundary) || fields.iter().any(|(_, value)| value.contains(boundary))
    };
    let mut state = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), file_name);
    loop {
        let candidate = format!("fsched-{state:016x}-{:016x}", state.rotate_left(17) ^ 0x9e37_79b9_7f4a_7c15);
        if !taken(&candidate) {
            return candidate;
        }
        state = state.wrapping_add(1);
    }
}

/// A file name inside quotes, as browsers write it.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    async fn bytes_of(form: Form) -> (u64, Vec<u8>) {
        use actix_web::body::{BodySize, MessageBody as _};
        let body = form.into_body();
        let BodySize::Sized(announced) = body.size() else { panic!("the size is not known") };
        let mut body = Box::pin(body);
        let mut bytes = Vec::new();
        let mut chunks = stream::poll_fn(move |cx| body.as_mut().poll_next(cx));
        while let Some(chunk) = chunks.next().await {
            bytes.extend_from_slice(&chunk.unwrap());
        }
        (announced, bytes)
    }

    #[actix_web::test]
    async fn the_announced_length_is_the_length() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), vec![7; 3 * CHUNK + 5]).unwrap();
        let form = Form::open(file.path(), "a\"b\r\n", &[("name", "x".to_owned())]).unwrap();
        let (announced, bytes) = bytes_of(form).await;
        assert_eq!(announced, bytes.len() as u64);
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.contains("name=\"name\"\r\n\r\nx\r\n"), "{text}");
        assert!(text.contains("filename=\"a%22b%0D%0A\""), "{text}");
        assert!(text.ends_with("--\r\n"), "{text}");
    }

    #[test]
    fn a_folder_is_no_function() {
        assert!(matches!(Form::open(Path::new("/"), "x", &[]), Err(ClientError::File { .. })));
    }
}
