//! The table of layers as plain text: groups in brackets, then a row a module with the modules or groups it may name.

/// Modules in reading order with what each may name.
pub struct Table {
    rows: Vec<Row>,
}

struct Row {
    group: String,
    module: String,
    may_name: Vec<String>,
}

impl Table {
    /// Reads the table. A row may name only what stands above it, so the layers cannot form a circle.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut table = Self { rows: Vec::new() };
        let mut group = String::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            if let Some(name) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                group = name.to_owned();
                continue;
            }
            let mut words = line.split_whitespace();
            let module = words.next().unwrap_or_default().to_owned();
            let mut may_name = Vec::new();
            for word in words {
                let meant = table.meaning(word);
                if meant.is_empty() {
                    return Err(format!("{module} may name {word}, which does not stand above it"));
                }
                may_name.extend(meant);
            }
            table.rows.push(Row { group: group.clone(), module, may_name });
        }
        Ok(table)
    }

    /// The modules of a group.
    pub fn group(&self, name: &str) -> Vec<String> {
        self.rows.iter().filter(|row| row.group == name).map(|row| row.module.clone()).collect()
    }

    /// All modules.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().map(|row| row.module.as_str())
    }

    /// Whether the module has a row.
    pub fn has(&self, module: &str) -> bool {
        self.names().any(|name| name == module)
    }

    /// Whether code of one module may name another. Every module may name itself.
    pub fn allows(&self, from: &str, to: &str) -> bool {
        from == to || self.rows.iter().any(|row| row.module == from && row.may_name.iter().any(|name| name == to))
    }

    fn meaning(&self, word: &str) -> Vec<String> {
        self.rows.iter().filter(|row| row.module == word || row.group == word).map(|row| row.module.clone()).collect()
    }
}

#[test]
fn a_row_names_what_stands_above_it() {
    let table = Table::parse("[low]\na\nb a\n[high]\nc low").expect("a table");
    assert!(table.allows("b", "a") && table.allows("c", "b") && table.allows("a", "a"));
    assert!(!table.allows("a", "b") && !table.allows("a", "c"));
    assert_eq!(table.group("low"), ["a", "b"]);
    assert!(table.has("c") && !table.has("low"));
}

#[test]
fn a_circle_is_refused() {
    assert!(Table::parse("[low]\na b\nb a").is_err());
    assert!(Table::parse("[low]\na low").is_err());
}
