//! What may be asked in SQL: statements that only read, and only our tables and their description.
//!
//! text ─▶ statement ─[`check_statement`]─▶ plan ─[`check_plan`]─▶ run
//!
//! A list of what is answered, not of what is refused: whatever a newer DataFusion learns to do is refused until it
//! stands here. Files and URLs need no check, since a session knows no store to open them with.

use datafusion::catalog::information_schema::INFORMATION_SCHEMA;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SQLOptions;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast;

use crate::error::QueryError;

/// Views of `information_schema` that describe our tables and the functions; the others tell of the engine's settings.
const DESCRIPTIONS: [&str; 6] = ["tables", "columns", "schemata", "views", "routines", "parameters"];

/// Refuses a statement that is no question.
pub(super) fn check_statement(statement: &Statement) -> Result<(), QueryError> {
    if is_question(statement) { Ok(()) } else { Err(refusal(&named(statement))) }
}

/// Refuses a plan that would write, or read what is none of our tables.
pub(super) fn check_plan(plan: &LogicalPlan) -> Result<(), QueryError> {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false).verify_plan(plan)?;
    let mut foreign = None;
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && scan.table_name.schema() == Some(INFORMATION_SCHEMA)
            && !DESCRIPTIONS.contains(&scan.table_name.table())
        {
            foreign = Some(scan.table_name.to_string());
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    foreign.map_or(Ok(()), |table| Err(refusal(&table)))
}

fn is_question(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(statement) => matches!(
            **statement,
            ast::Statement::Query(_)
                | ast::Statement::ExplainTable { .. }
                | ast::Statement::ShowTables { .. }
                | ast::Statement::ShowColumns { .. }
        ),
        Statement::Explain(explain) => is_question(&explain.statement),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => false,
    }
}

/// The first words of a statement, without what it is about.
fn named(statement: &Statement) -> String {
    let text = statement.to_string();
    let is_word = |word: &&str| word.chars().all(|c| c.is_ascii_alphabetic());
    let words: Vec<&str> = text.split_ascii_whitespace().take_while(is_word).take(2).collect();
    words.join(" ").to_ascii_uppercase()
}

fn refusal(what: &str) -> QueryError {
    QueryError::BadRequest(format!(
        "{what} is refused: SQL only reads the tables of the store, by SELECT, EXPLAIN, DESCRIBE, SHOW TABLES and SHOW \
         COLUMNS"
    ))
}
