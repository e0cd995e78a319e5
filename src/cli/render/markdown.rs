//! A preview for a comment on a proposed change, in the Markdown that code hosts render.
//!
//! Such a comment is read by people who trust it, and what is in it comes from the change that is under review: no value
//! may end a cell, begin a heading or a link, mention a person or become HTML. It may also be read by more people than
//! the engine's machine has: no hash is in it.

use super::cost::{Costs, warnings};
use super::diff::{Preview, counts, interrupted, shared, some_of};
use super::overrides::scale_line;
use super::shown::{plural, shown};
use crate::core::decide::Waiting;
use crate::core::diff::{Change, Impact};
use crate::core::ids::ServiceName;
use crate::core::overrides::Scale;
use crate::rehearse::Step;

/// All stacks, one heading each.
pub fn markdown(previews: &[Preview<'_>]) -> String {
    previews.iter().map(stack).collect::<Vec<_>>().join("\n\n")
}

fn stack(preview: &Preview<'_>) -> String {
    let mut out = format!("### {}\n\n", words(preview.stack));
    let mut put = |text: &str| out.push_str(text);
    if preview.is_empty() && preview.waiting.is_empty() {
        put("Nothing to do.");
    } else {
        put(&summary(preview));
    }
    for note in preview.notes {
        put(&format!("\n\n{}", words(&note.message)));
    }
    if !preview.changes.is_empty() {
        put("\n\n| service | field | change | impact | why |\n| --- | --- | --- | --- | --- |");
        for change in preview.changes {
            put(&row(change));
        }
    }
    put(&costs(&preview.costs));
    if !preview.steps.is_empty() {
        put(&steps(preview.steps));
    }
    for (heading, all) in warnings(&preview.costs) {
        put(&format!("\n\n**{heading}**\n"));
        for (subject, message) in all {
            put(&format!("\n- {}: {}", code(subject), words(message)));
        }
    }
    put(&waits("Would still wait", preview.waiting));
    put(&waits("Left alone", preview.orphans));
    put(&overrides(preview));
    out
}

/// `**4 changes** (3 in-place, 1 rolling), 9 steps. **Interrupted:** caddy.`
fn summary(preview: &Preview<'_>) -> String {
    let counts = counts(preview.changes).map(|(impact, count)| format!("{count} {}", emphasised(impact)));
    let counts: Vec<String> = counts.collect();
    let of_these = if counts.is_empty() { String::new() } else { format!(" ({})", counts.join(", ")) };
    let names: Vec<String> = interrupted(preview.changes).into_iter().map(code).collect();
    let interrupted =
        if names.is_empty() { String::new() } else { format!(" **Interrupted:** {}.", names.join(", ")) };
    let stuck = if preview.waiting.is_empty() { "" } else { " **It would not converge.**" };
    let (changes, steps) = (plural(preview.changes.len(), "change"), plural(preview.steps.len(), "step"));
    format!("**{changes}**{of_these}, {steps}.{interrupted}{stuck}")
}

fn emphasised(impact: Impact) -> String {
    match impact {
        Impact::InPlace | Impact::Rolling => impact.as_str().to_owned(),
        Impact::Restart | Impact::Removed | Impact::Destructive => format!("**{}**", impact.as_str()),
    }
}

fn row(change: &Change) -> String {
    let change = change.clone().without_hashes();
    let service = change.service.as_ref().map_or_else(|| shared(&change).to_owned(), code);
    let value = match (&change.from, &change.to) {
        (None, None) => String::new(),
        (None, Some(to)) => format!("+ {}", code(to)),
        (Some(from), None) => format!("− {}", code(from)),
        (Some(from), Some(to)) => format!("{} → {}", code(from), code(to)),
    };
    let why = match change.containers.as_slice() {
        [] => words(&change.reason),
        names => format!("{} ({})", words(&change.reason), words(some_of(names))),
    };
    let cells = [service, code(&change.field), value, emphasised(change.impact), why];
    format!("\n| {} |", cells.join(" | "))
}

/// A line for each service that is replaced or restarted.
fn costs(costs: &Costs<'_>) -> String {
    let line =
        |(service, sentence): &(&ServiceName, String)| format!("- {}: {}", code(service), words(sentence));
    match costs.sentences().as_slice() {
        [] => String::new(),
        all => format!("\n\n**Cost**\n\n{}", all.iter().map(line).collect::<Vec<_>>().join("\n")),
    }
}

fn steps(steps: &[Step]) -> String {
    let mut out = format!("\n\n<details><summary>{}</summary>\n\n", plural(steps.len(), "step"));
    for (index, step) in steps.iter().enumerate() {
        let number = index + 1;
        let line = format!("{number}. {} {} ({})\n", step.action, code(&step.target), words(&step.cause));
        out.push_str(&line);
    }
    out.push_str("\n</details>");
    out
}

fn waits(what: &str, waiting: &[Waiting]) -> String {
    if waiting.is_empty() {
        return String::new();
    }
    let line = |it: &Waiting| format!("- **{}** {}: {}", it.reason, code(&it.subject), words(&it.message));
    format!("\n\n**{what}**\n\n{}", waiting.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// Numbers of replicas that somebody laid over the files: the preview goes by them.
fn overrides(preview: &Preview<'_>) -> String {
    if preview.scaled.is_empty() {
        return String::new();
    }
    let line = |(service, scale): &(ServiceName, Scale)| {
        format!("- {}: {}", code(service), words(scale_line(scale, preview.now)))
    };
    format!("\n\n**Overrides**\n\n{}", preview.scaled.iter().map(line).collect::<Vec<_>>().join("\n"))
}

/// As code: nothing in it means anything but what ends it, or the cell that it is in. What has one of these is code as
/// HTML has it.
fn code(text: impl std::fmt::Display) -> String {
    let text = shown(text);
    let is_plain = !text.contains(['`', '|']) && !text.is_empty() && text.trim() == text;
    if is_plain { format!("`{text}`") } else { format!("<code>{}</code>", escaped(&text)) }
}

/// As words of a sentence.
fn words(text: impl std::fmt::Display) -> String {
    escaped(&shown(text))
}

/// Everything that Markdown, HTML or a code host would act on, as a character reference: these are text wherever they
/// stand.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut before, mut rest) = (None, text.chars());
    while let Some(letter) = rest.next() {
        let after = rest.clone().next();
        let within_word = [before, after].iter().all(|it| it.is_some_and(char::is_alphanumeric));
        let acts = match letter {
            '&' | '<' | '>' | '|' | '`' | '*' | '~' | '[' | ']' | '#' | '@' | '\\' | '!' | '$' | '%' => true,
            '_' => !within_word,
            // An address would be a link.
            ':' => after == Some('/'),
            'w' | 'W' => rest.as_str().to_ascii_lowercase().starts_with("ww."),
            _ => false,
        };
        if acts {
            out.extend(["&#", &u32::from(letter).to_string(), ";"]);
        } else {
            out.push(letter);
        }
        before = Some(letter);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::action::Cause;
    use crate::core::fit::{Misfit, Resource};
    use crate::core::ids::StackName;
    use crate::core::reason::Reason;

    fn change(service: Option<&str>, field: &str, values: [Option<&str>; 2], impact: Impact) -> Change {
        let [from, to] = values.map(|value| value.map(str::to_owned));
        let service = service.map(ServiceName::from);
        let containers = if from.is_some() { vec!["shop-api-1".to_owned()] } else { Vec::new() };
        Change {
            service,
            field: field.to_owned(),
            from,
            to,
            impact,
            reason: "it is so".to_owned(),
            containers,
        }
    }

    #[test]
    fn a_preview_is_a_heading_a_summary_a_table_and_steps_to_unfold() {
        let stack = StackName::from("shop");
        let changes = [
            change(None, "networks.shop_default", [None, Some("created")], Impact::InPlace),
            change(Some("api"), "image", [Some("api:1"), Some("api:2")], Impact::Restart),
        ];
        let fields = vec!["image".to_owned()];
        let steps = [Step {
            action: "stop container",
            target: "shop-api-1".to_owned(),
            service: None,
            cause: Cause::Changed { fields, by_hand: false },
        }];
        let waiting = [Waiting {
            service: None,
            subject: "corp".to_owned(),
            reason: Reason::ExternalMissing,
            message: "create it with `docker network create corp`".to_owned(),
            until: None,
            stuck: true,
        }];
        let preview =
            Preview { changes: &changes, steps: &steps, waiting: &waiting, ..Preview::nothing(&stack) };
        assert_eq!(
            markdown(&[preview]),
            "\
### shop

**2 changes** (1 in-place, 1 **restart**), 1 step. **Interrupted:** `api`. **It would not converge.**

| service | field | change | impact | why |
| --- | --- | --- | --- | --- |
| (networks) | `networks.shop_default` | + `created` | in-place | it is so |
| `api` | `image` | `api:1` → `api:2` | **restart** | it is so (shop-api-1) |

<details><summary>1 step</summary>

1. stop container `shop-api-1` (changed: image)

</details>

**Would still wait**

- **ExternalMissing** `corp`: create it with &#96;docker network create corp&#96;"
        );
    }

    #[test]
    fn nothing_to_do_is_said_and_stacks_are_apart() {
        let names = ["blog", "shop"].map(StackName::from);
        let previews = [Preview::nothing(&names[0]), Preview::nothing(&names[1])];
        assert_eq!(markdown(&previews), "### blog\n\nNothing to do.\n\n### shop\n\nNothing to do.");
    }

    #[test]
    fn a_warning_has_a_heading_and_what_there_is_none_of_has_none() {
        let stack = StackName::from("shop");
        let misfits = [Misfit { service: None, of: Resource::Memory, message: "18G, and 16G".to_owned() }];
        let costs = Costs { misfits: &misfits, ..Costs::default() };
        let preview = Preview { costs, ..Preview::nothing(&stack) };
        let told = markdown(&[preview]);
        assert!(told.ends_with("\n\n**Does not fit the machine**\n\n- `(stack)`: 18G, and 16G"), "{told}");
    }

    #[test]
    fn a_number_of_replicas_that_is_laid_over_the_files_is_told() {
        let stack = StackName::from("shop");
        let nothing = Preview::nothing(&stack);
        let by = "ann <ann@example>".to_owned();
        let scale = Scale { replicas: 3, files: 2, by, since: nothing.now, until: None };
        let scaled = [(ServiceName::from("web"), scale)];
        assert_eq!(
            markdown(&[Preview { scaled: &scaled, ..nothing }]),
            "### shop\n\nNothing to do.\n\n**Overrides**\n\n\
             - `web`: 3 replicas by ann &#60;ann&#64;example&#62;, until &#96;operator scale SERVICE=files&#96;; the files say 2"
        );
    }

    #[test]
    fn no_value_leaves_its_cell() {
        let row = |value: &str| row(&change(Some("api"), "command", [None, Some(value)], Impact::Rolling));
        let cell = |value: &str| {
            let row = row(value);
            assert_eq!(row.matches(" | ").count(), 4, "{row}");
            assert_eq!(row.lines().count(), 2, "the line break before it, and no other: {row}");
            row.split(" | ").nth(2).unwrap().trim_start_matches("+ ").to_owned()
        };
        for (value, expected) in [
            ("<script>x</script>", "`<script>x</script>`"),
            ("a | b", "<code>a &#124; b</code>"),
            ("a` @all ![x](http://y) `", "<code>a&#96; &#64;all &#33;&#91;x&#93;(http&#58;//y) &#96;</code>"),
            ("one\n# two", "`one\\n# two`"),
            ("</code>`<img>", "<code>&#60;/code&#62;&#96;&#60;img&#62;</code>"),
            ("", "<code></code>"),
            (" x", "<code> x</code>"),
        ] {
            assert_eq!(cell(value), expected);
        }
        assert_eq!(
            words("*a* _b_ c_d www.x.y #1\n@me"),
            "&#42;a&#42; &#95;b&#95; c_d &#119;ww.x.y &#35;1&#92;n&#64;me"
        );
    }

    #[test]
    fn no_hash_is_told() {
        let hashes = change(Some("api"), "revision", [Some("2-aaaaaa"), Some("2-bbbbbb")], Impact::Rolling);
        let told = row(&hashes);
        assert!(told.contains("`revision` |  | rolling") && !told.contains("2-"), "{told}");
    }
}
