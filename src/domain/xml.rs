//! libvirt's domain XML: what the library needs of it, read; and written back with the live labels.

mod chardev;
mod devices;
mod disk;
mod hostdev;
mod os;

use super::resource::{Flags, Kind, Resource};
use super::{Definition, Seclabel, SeclabelType};
use crate::error::{Error, Result};
use roxmltree::{Document, Node, ParsingOptions};
use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

/// Where resources that were added by calls stand in the XML.
const NAMESPACE: &str = "https://libsvirt.org/xmlns/domain/1";
/// The most text that is read; libvirt's own limit for one message is of this order.
const LONGEST: usize = 16 << 20;
/// The deepest nesting that is read; libvirt's parser has the same bound.
const DEEPEST: usize = 256;
/// The most attributes of one element; libvirt's schema has no element with more than a dozen.
const MOST_ATTRIBUTES: usize = 256;

/// Reads a domain, inactive or live. What the library does not need is ignored.
pub fn from_xml(xml: &str) -> Result<Definition> {
    let document = parse(xml)?;
    let root = document.root_element();
    if root.tag_name().name() != "domain" {
        return Err(at(root, &format!("<{}> is not <domain>", root.tag_name().name())));
    }
    let text = |name: &str, why: &str| {
        child(root, name)
            .map(content)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| at(root, &format!("<domain> has no <{name}>{why}")))
    };
    let uuid = text("uuid", ", under which its labels are held")?;
    let uuid = uuid.parse().map_err(|e| placed(child(root, "uuid").unwrap_or(root), &e))?;
    let virt_type = root.attribute("type").ok_or_else(|| at(root, "<domain> has no type"))?;
    let mut definition =
        Definition::new(&text("name", "")?, uuid, virt_type).map_err(|e| placed(root, &e))?;
    for node in children(root, "seclabel") {
        definition.add_seclabel(seclabel(node)?).map_err(|e| placed(node, &e))?;
    }
    definition.emulator = os::emulator(root)?;
    os::read(root, &mut definition.resources)?;
    devices::read(root, uuid, &definition.name, &mut definition.resources)?;
    for node in added(root) {
        definition.resources.push(read_added(node)?);
    }
    definition.source = Some(xml.to_owned());
    Ok(definition)
}

/// Reads the files and devices that one device of a domain consists of.
pub fn device_from_xml(xml: &str, domain: &Definition) -> Result<Vec<Resource>> {
    let document = parse(xml)?;
    let mut resources = Vec::new();
    devices::read_device(document.root_element(), domain.uuid, &domain.name, &mut resources)?;
    // The XML that the domain is written with has them only when somebody puts them there.
    resources.iter_mut().for_each(|resource| resource.added = true);
    Ok(resources)
}

/// Writes a domain with its seclabels as they are now, and with the resources that calls have added. The
/// rest of the XML that it was read from stays as it was.
pub fn to_xml(definition: &Definition) -> Result<String> {
    let skeleton;
    let source = match &definition.source {
        Some(source) => source,
        None => {
            let (name, uuid) = (escape(&definition.name), definition.uuid);
            skeleton = format!(
                "<domain type='{}'>\n  <name>{name}</name>\n  <uuid>{uuid}</uuid>\n</domain>\n",
                definition.virt_type
            );
            &skeleton
        }
    };
    let document = parse(source)?;
    let root = document.root_element();
    let mut edits: Vec<(Range<usize>, String)> = Vec::new();
    let old = children(root, "seclabel").chain(added(root));
    // With the white space before them, so that writing and reading again and again adds nothing.
    edits.extend(old.map(|node| node.range()).map(|range| {
        let start = source[..range.start].trim_end().len();
        (start..range.end, String::new())
    }));
    let mut end = String::new();
    let resources = write_added(definition);
    match child(root, "metadata").filter(|_| !resources.is_empty()) {
        Some(node) => {
            let range = node.range();
            if source[range.clone()].ends_with("/>") {
                edits.push((range.end - 2..range.end, format!(">{resources}</metadata>")));
            } else {
                edits.push((closing_tag(source, &range), resources));
            }
        }
        None if !resources.is_empty() => {
            let _ = writeln!(end, "  <metadata>{resources}</metadata>");
        }
        None => {}
    }
    for seclabel in definition.seclabels.iter().filter(|s| !(s.implicit && s.kind == SeclabelType::None)) {
        write_seclabel(&mut end, seclabel);
    }
    edits.push((closing_tag(source, &root.range()), end));
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let (mut result, mut from) = (String::with_capacity(source.len() + 512), 0);
    for (range, text) in edits {
        result.push_str(&source[from..range.start]);
        result.push_str(&text);
        from = range.end;
    }
    result.push_str(&source[from..]);
    Ok(result)
}

/// The place just before an element's closing tag.
fn closing_tag(source: &str, element: &Range<usize>) -> Range<usize> {
    let at = source[element.clone()].rfind("</").map_or(element.end, |at| element.start + at);
    at..at
}

fn parse(xml: &str) -> Result<Document<'_>> {
    if xml.len() > LONGEST {
        return Err(Error::invalid(format!("the domain's XML is longer than {LONGEST} bytes")));
    }
    too_deep(xml)?;
    let options = ParsingOptions { allow_dtd: false, ..ParsingOptions::default() };
    Document::parse_with_options(xml, options).map_err(|e| {
        let place = e.pos();
        Error::invalid(format!(
            "the domain's XML, line {} column {}, is malformed: {e}",
            place.row, place.col
        ))
    })
}

/// Refuses, before the parser meets it, what would make it call itself too deeply (it does so for every
/// level) or compare too long (every attribute of an element with every other).
fn too_deep(xml: &str) -> Result<()> {
    let mut depth = 0_usize;
    let mut rest = xml;
    while let Some(at) = rest.find('<') {
        rest = &rest[at..];
        let length = match rest {
            _ if rest.starts_with("<!--") => rest.find("-->"),
            _ if rest.starts_with("<![CDATA[") => rest.find("]]>"),
            _ if rest.starts_with("<?") => rest.find("?>"),
            _ => {
                let (end, quotes) = tag_end(rest);
                if quotes > 2 * MOST_ATTRIBUTES {
                    return Err(Error::invalid(format!(
                        "the domain's XML has more than {MOST_ATTRIBUTES} attributes in one element"
                    )));
                }
                let tag = &rest[..end];
                if tag.starts_with("</") {
                    depth = depth.saturating_sub(1);
                } else if !tag.ends_with('/') {
                    depth += 1;
                }
                Some(end)
            }
        };
        if depth > DEEPEST {
            return Err(Error::invalid(format!("the domain's XML nests deeper than {DEEPEST} elements")));
        }
        // What is not closed the parser will refuse by itself.
        rest = length.and_then(|length| rest.get(length..)).unwrap_or_default();
    }
    Ok(())
}

/// Where a tag ends, at its `>` outside quotes, and how many quotes it has.
fn tag_end(tag: &str) -> (usize, usize) {
    let (mut open, mut quotes) = (None, 0);
    for (at, byte) in tag.bytes().enumerate() {
        match (open, byte) {
            (None, b'>') => return (at, quotes),
            (None, b'"' | b'\'') => (open, quotes) = (Some(byte), quotes + 1),
            (Some(quote), byte) if quote == byte => (open, quotes) = (None, quotes + 1),
            _ => {}
        }
    }
    (tag.len(), quotes)
}

fn seclabel(node: Node<'_, '_>) -> Result<Seclabel> {
    let kind = match node.attribute("type") {
        None | Some("dynamic") => SeclabelType::Dynamic,
        Some("static") => SeclabelType::Static,
        Some("none") => SeclabelType::None,
        Some(other) => {
            return Err(at(node, &format!("seclabel type {other:?} is not dynamic, static or none")));
        }
    };
    let text = |name| child(node, name).map(content).filter(|text| !text.is_empty());
    let (label, base_label) = (text("label"), text("baselabel"));
    if base_label.is_some() && kind != SeclabelType::Dynamic {
        return Err(at(node, "a baselabel goes only with type='dynamic'"));
    }
    let given = if kind == SeclabelType::Dynamic { base_label } else { label.clone() };
    let mut seclabel = Seclabel::new(node.attribute("model"), kind, given.as_deref(), relabel(node)?)
        .map_err(|e| placed(node, &e))?;
    if kind == SeclabelType::Dynamic {
        seclabel.label = label;
    }
    seclabel.image_label = text("imagelabel");
    Ok(seclabel)
}

fn relabel(node: Node<'_, '_>) -> Result<Option<bool>> {
    yes_no(node, "relabel")
}

fn yes_no(node: Node<'_, '_>, name: &str) -> Result<Option<bool>> {
    match node.attribute(name) {
        None => Ok(None),
        Some("yes") => Ok(Some(true)),
        Some("no") => Ok(Some(false)),
        Some(other) => Err(at(node, &format!("{name}={other:?} is not yes or no"))),
    }
}

/// The `svirt:resource` elements in the metadata.
fn added<'a, 'i>(root: Node<'a, 'i>) -> impl Iterator<Item = Node<'a, 'i>> {
    let in_metadata = children(root, "metadata").flat_map(|metadata| metadata.children());
    in_metadata.filter(|node| node.has_tag_name((NAMESPACE, "resource")))
}

fn read_added(node: Node<'_, '_>) -> Result<Resource> {
    let wrong = |e: Error| placed(node, &e);
    let attribute = |name| node.attribute(name).ok_or_else(|| at(node, &format!("resource without {name}")));
    let kind = Kind::from_name(attribute("kind")?).map_err(wrong)?;
    let flag = |name| yes_no(node, name).map(|flag| flag == Some(true));
    let flags = Flags {
        readonly: flag("readonly")?,
        shared: flag("shared")?,
        backing: flag("backing")?,
        no_relabel: yes_no(node, "relabel")? == Some(false),
    };
    Resource::new(kind, Path::new(attribute("path")?), flags).map_err(wrong)
}

fn write_added(definition: &Definition) -> String {
    let mut text = String::new();
    for resource in definition.resources.iter().filter(|resource| resource.added) {
        let path = resource.path.to_string_lossy();
        let _ = write!(
            text,
            "<svirt:resource xmlns:svirt='{NAMESPACE}' kind='{}' path='{}'",
            resource.kind.name(),
            escape(&path)
        );
        let flags = resource.flags;
        for (set, attribute) in [
            (flags.readonly, " readonly='yes'"),
            (flags.shared, " shared='yes'"),
            (flags.backing, " backing='yes'"),
            (flags.no_relabel, " relabel='no'"),
        ] {
            text.push_str(if set { attribute } else { "" });
        }
        text.push_str("/>");
    }
    text
}

fn write_seclabel(text: &mut String, seclabel: &Seclabel) {
    let model =
        seclabel.model.as_ref().map_or_else(String::new, |model| format!(" model='{}'", escape(model)));
    let relabel = if seclabel.relabel { "yes" } else { "no" };
    let _ = write!(text, "  <seclabel type='{}'{model} relabel='{relabel}'>", seclabel.kind.name());
    for (name, value) in [
        ("label", &seclabel.label),
        ("imagelabel", &seclabel.image_label),
        ("baselabel", &seclabel.base_label),
    ] {
        if let Some(value) = value {
            let _ = write!(text, "<{name}>{}</{name}>", escape(value));
        }
    }
    text.push_str("</seclabel>\n");
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\'' => escaped.push_str("&apos;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}

fn children<'a, 'i>(node: Node<'a, 'i>, name: &'static str) -> impl Iterator<Item = Node<'a, 'i>> {
    node.children().filter(move |child| child.has_tag_name(name))
}

fn child<'a, 'i>(node: Node<'a, 'i>, name: &str) -> Option<Node<'a, 'i>> {
    node.children().find(|child| child.has_tag_name(name))
}

/// All text in an element, CDATA and entities resolved, without the white space around it.
fn content(node: Node<'_, '_>) -> String {
    let text: String =
        node.children().filter_map(|child| if child.is_text() { child.text() } else { None }).collect();
    text.trim().to_owned()
}

/// An error with the place in the XML.
fn at(node: Node<'_, '_>, what: &str) -> Error {
    let place = node.document().text_pos_at(node.range().start);
    Error::invalid(format!("the domain's XML, line {} column {}: {what}", place.row, place.col))
}

/// The same error, with the place in the XML.
fn placed(node: Node<'_, '_>, error: &Error) -> Error {
    let placed = at(node, &error.to_string());
    error.path().map_or(placed.clone(), |path| placed.with_path(path))
}

/// A resource named by the XML itself.
fn resource(node: Node<'_, '_>, kind: Kind, path: &str, flags: Flags) -> Result<Resource> {
    let resource = Resource::new(kind, Path::new(path), flags).map_err(|e| placed(node, &e))?;
    Ok(Resource { added: false, ..resource })
}

/// An attribute that is there and not empty.
fn given<'a>(node: Node<'a, '_>, name: &str) -> Option<&'a str> {
    node.attribute(name).filter(|value| !value.is_empty())
}

/// An attribute that must be there.
fn needed<'a>(node: Node<'a, '_>, name: &str) -> Result<&'a str> {
    given(node, name).ok_or_else(|| at(node, &format!("<{}> has no {name}", node.tag_name().name())))
}

/// An attribute that is one of a few words.
fn word<'a>(node: Node<'a, '_>, name: &str, known: &[&str]) -> Result<Option<&'a str>> {
    match node.attribute(name) {
        Some(value) if !known.contains(&value) => {
            Err(at(node, &format!("{name}={value:?} is not one of {}", known.join(", "))))
        }
        value => Ok(value),
    }
}

/// A number as C writes it: decimal, `0x` hexadecimal, or octal.
fn number(node: Node<'_, '_>, name: &str, most: u32) -> Result<Option<u32>> {
    let Some(text) = node.attribute(name) else { return Ok(None) };
    let (digits, radix) = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None if text.len() > 1 && text.starts_with('0') => (&text[1..], 8),
        None => (text, 10),
    };
    let read = if digits.starts_with('+') { None } else { u32::from_str_radix(digits, radix).ok() };
    let wrong = || at(node, &format!("{name}={text:?} is not a number up to {most:#x}"));
    read.filter(|number| *number <= most).map(Some).ok_or_else(wrong)
}

/// A number that must be there.
fn needed_number(node: Node<'_, '_>, name: &str, most: u32) -> Result<u32> {
    number(node, name, most)?.ok_or_else(|| at(node, &format!("<{}> has no {name}", node.tag_name().name())))
}

#[cfg(test)]
mod tests;
