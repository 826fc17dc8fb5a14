//! The documents that are made from the registries are those of the code.

use std::path::Path;

use service_runtime::documents;

#[test]
fn the_documents_made_from_the_registries_are_up_to_date() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
    for (name, text) in
        [("configuration.md", documents::configuration()), ("metrics.md", documents::metrics())]
    {
        let committed = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        assert!(
            committed == text,
            "docs/{name} is not what the code says: run cargo xtask docs, and commit the file"
        );
    }
}
