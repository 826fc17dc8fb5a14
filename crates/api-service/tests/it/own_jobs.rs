//! An API with a registry of one's own takes its typed jobs, and no others.

use api_service::{Api, ApiConfig, ApiError};
use faktory_link::LinkConfig;
use job_types::jobs::Add;
use job_types::{JobContext, Registry, RunError, RunJob, define_job};
use serde_json::json;
use testkit::http::Client;
use testkit::{TestApi, WorkServer};

define_job! {
    /// Greets somebody.
    struct Greet = "greet" { name: String }
}

impl RunJob for Greet {
    type Output = String;

    async fn run(self, _: JobContext) -> Result<String, RunError> {
        Ok(self.name)
    }
}

#[tokio::test]
async fn a_job_type_of_ones_own_is_taken_on_every_path_and_others_are_unknown() {
    let server = WorkServer::broker().await;
    let jobs = Registry::new().with::<Greet>();
    let api = TestApi::start_with(ApiConfig::new(server.link()).with_jobs(jobs)).await;
    api.ready().await;
    let mut client = Client::connect(api.address()).await.unwrap();
    for (path, body) in [
        ("/jobs/greet", r#"{"name":"Ann"}"#),
        ("/jobs", r#"{"operation":"greet","name":"Ann"}"#),
        ("/jobs/batch", r#"{"jobs":[{"operation":"greet","name":"Ann"}]}"#),
    ] {
        assert_eq!(client.post(path, body).await.unwrap().status, 202, "{path}");
        let job = server.client().await.fetch("default").await.unwrap();
        assert_eq!((job.jobtype.as_str(), job.args_json()), ("greet", r#"["Ann"]"#));
    }
    for (path, body) in [
        ("/jobs/add", r#"{"a":1,"b":2}"#),
        ("/jobs", r#"{"operation":"add","a":1,"b":2}"#),
        ("/jobs/batch", r#"{"jobs":[{"operation":"add","a":1,"b":2}]}"#),
    ] {
        let answer = client.post(path, body).await.unwrap();
        let code = json!("unknown_operation");
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (422, &code));
        assert!(answer.body.to_string().contains("operations are: greet"), "{:?}", answer.body);
    }
}

#[tokio::test]
async fn an_api_with_two_jobs_of_one_name_does_not_start() {
    let jobs = Registry::new().with::<Add>().with::<Greet>().with::<Greet>();
    let config = ApiConfig::new(LinkConfig::new("127.0.0.1", 9)).with_jobs(jobs);
    let Err(error) = Api::start(config).await else { panic!("it has started") };
    assert!(matches!(error, ApiError::Jobs(_)), "{error}");
    assert!(error.to_string().contains("two typed jobs have the name greet"), "{error}");
}
