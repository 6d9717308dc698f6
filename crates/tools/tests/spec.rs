//! What models are told of the tools, to the letter.

mod common;

use insta::assert_snapshot;

#[test]
fn models_are_told_this_of_the_tools() {
    let told = ["read", "edit", "write", "exec"].map(|name| {
        let tool = common::find(name);
        let spec = tool.spec();
        let mut told = format!("{}: {}", spec.name, spec.description);
        let parameters = spec.parameters.as_object().unwrap();
        for (name, schema) in parameters["properties"].as_object().unwrap() {
            told.push_str(&format!("\n  {name}: {schema}"));
        }
        match parameters.get("required") {
            Some(names) => told + &format!("\n  required: {names}"),
            None => told,
        }
    });
    assert_snapshot!(told.join("\n\n"), @r#"
    read: Read a text file of the workspace, at most 2000 lines or 50 KB at once; a notice at the end says where to go on.
      path: {"type":"string","description":"The file, relative to the workspace."}
      file_path: {"type":"string","description":"Another word for `path`."}
      offset: {"type":"integer","description":"The first line, from 1.","minimum":0}
      limit: {"type":"integer","description":"How many lines at most.","minimum":0}

    edit: Replace one passage of a text file of the workspace. The old text must be exactly as it stands there and must occur once.
      path: {"type":"string","description":"The file, relative to the workspace."}
      file_path: {"type":"string","description":"Another word for `path`."}
      oldText: {"type":"string","description":"The passage exactly as it stands in the file; it must occur once."}
      newText: {"type":"string","description":"What takes its place."}
      old_string: {"type":"string","description":"Another word for `oldText`."}
      new_string: {"type":"string","description":"Another word for `newText`."}

    write: Write a file of the workspace: make it or replace all that it holds, with the directories on the way; with `append`, add to its end.
      path: {"type":"string","description":"The file, relative to the workspace."}
      file_path: {"type":"string","description":"Another word for `path`."}
      content: {"type":"string","description":"What the file is to hold."}
      append: {"type":"boolean","description":"Whether to add the content at the end instead."}
      required: ["content"]

    exec: Run a shell command in the workspace and wait for it. Gives what it wrote to both of its streams; of long output the beginning and the end. Whatever it leaves running in the background ends with it.
      command: {"type":"string","description":"The command, for `/bin/sh`."}
      workdir: {"type":"string","description":"Where it starts, relative to the workspace."}
      env: {"type":"object","additionalProperties":{"type":"string"},"description":"Variables to add to its environment."}
      timeout: {"type":"number","description":"When it is killed. Unit: seconds."}
      required: ["command"]
    "#);
}
