//! The OpenAPI document says what there is, and the page is there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::world::World;
use crate::master::{MasterOptions, routes};

#[actix_web::test]
async fn every_route_is_in_the_document_and_nothing_else() {
    let world = World::empty(MasterOptions::default()).await;
    let document = world.get("/openapi.json").await.ok();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            described.insert((method.to_uppercase(), path.clone()));
        }
    }
    let routes = routes::names().into_iter().map(|(method, path)| (method.to_owned(), path.to_owned()));
    assert_eq!(described, routes.collect::<BTreeSet<_>>());
}

#[actix_web::test]
async fn the_document_is_whole() {
    let world = World::empty(MasterOptions::default()).await;
    let document = world.get("/openapi.json").await.ok();
    let mut names = BTreeSet::new();
    for operation in
        document["paths"].as_object().unwrap().values().flat_map(|path| path.as_object().unwrap().values())
    {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name.to_owned()), "{name} is there twice");
        assert!(operation["summary"].is_string(), "{name} has no summary");
        assert!(operation["responses"]["200"].is_object(), "{name} has no answer");
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut references = Vec::new();
    collect(&document, &mut references);
    for reference in references {
        let name = reference.strip_prefix("#/components/schemas/").unwrap();
        assert!(schemas.contains_key(name), "{name} is not described");
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(keys) => {
            references.extend(keys.get("$ref").and_then(Value::as_str).map(str::to_owned));
            keys.values().for_each(|value| collect(value, references));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

#[actix_web::test]
async fn there_is_a_page_to_try_it() {
    let world = World::empty(MasterOptions::default()).await;
    let page = world.get("/docs/").await;
    assert!(page.status.is_success() && page.text.contains("swagger-ui"), "{page:?}");
    assert!(world.get("/docs/swagger-initializer.js").await.text.contains("/openapi.json"));
}
