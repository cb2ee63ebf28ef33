//! What happens when something fails, stops or is refused.
//!
//! - `matrix`: a panic or an error in every place that calls user code.
//! - `life_cycle`: the order of a function's calls, in good runs and in others.
//! - `misuse`: what user code may not do.
//! - `hang`: user code that does not come back after a failure; `transient`: errors that pass.
//! - `stop`, `backpressure`, `acknowledgement`: a run that is stopped, slowed down, confirmed.
//! - `flow_control`: sources that wait for acknowledgements, before groups that stay open.
//! - `changed_pipeline`: a job that crashed, and goes on with another program.
//! - `validation`, `drawing`, `metrics`: what a pipeline says before and after it runs.

mod acknowledgement;
mod backpressure;
mod changed_pipeline;
mod drawing;
mod flow_control;
mod hang;
mod kit;
mod life_cycle;
mod matrix;
mod memory;
mod metrics;
mod misuse;
mod stop;
mod support;
mod transient;
mod validation;
