//! CSV as RFC 4180 describes it: a header, one connection a record, fields in quotes where they
//! need them. Control characters of names are escaped, so that a record is always one line.

use crate::fields::{FIELDS, Field};
use crate::row::Row;

/// Writes records of the chosen fields.
#[derive(Debug)]
pub(crate) struct CsvEncoder {
    fields: Vec<&'static Field>,
    value: Vec<u8>,
}

impl CsvEncoder {
    /// With the fields asked for, or all.
    pub(crate) fn new(fields: &[&'static Field]) -> Self {
        let fields = if fields.is_empty() {
            FIELDS.iter().filter(|field| field.in_csv()).collect()
        } else {
            fields.to_vec()
        };
        Self {
            fields,
            value: Vec::new(),
        }
    }

    /// The header, with its line end.
    pub(crate) fn header(&self, out: &mut Vec<u8>) {
        for (at, field) in self.fields.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            out.extend_from_slice(field.name.as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }

    /// One connection, with its line end.
    pub(crate) fn connection(&mut self, out: &mut Vec<u8>, row: &Row<'_>) {
        for (at, field) in self.fields.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            self.value.clear();
            (field.of)(row).raw(&mut self.value);
            quote(out, &self.value);
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends a field, in quotes where a comma, a quote or a space at an end asks for them.
pub(crate) fn quote(out: &mut Vec<u8>, value: &[u8]) {
    let spaced = value.first() == Some(&b' ') || value.last() == Some(&b' ');
    if !spaced
        && !value
            .iter()
            .any(|b| matches!(b, b',' | b'"' | b'\r' | b'\n'))
    {
        out.extend_from_slice(value);
        return;
    }
    out.push(b'"');
    for byte in value {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_where_needed() {
        for (value, quoted) in [
            ("redis", "redis"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            (" a", "\" a\""),
            ("", ""),
        ] {
            let mut out = Vec::new();
            quote(&mut out, value.as_bytes());
            assert_eq!(out, quoted.as_bytes());
        }
    }
}
