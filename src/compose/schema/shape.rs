//! The words the table is written in.

/// What a value may look like, and what it is read as.
#[derive(Debug)]
pub(crate) enum Shape {
    /// Anything.
    Any,
    /// Nothing.
    Null,
    /// A text.
    Text,
    /// A text, or a number that is read as one.
    TextOrNumber,
    /// A text, or an integer that is read as one.
    TextOrInt,
    /// Nothing, read as the empty text.
    EmptyText,
    /// A text, or a boolean that is read as one.
    TextOrBool,
    /// A text with something in it.
    OneOf(&'static [&'static str]),
    /// A text that fulfils a condition; the words describe it.
    Matching(fn(&str) -> bool, &'static str),
    /// A boolean, or a text that spells one.
    Bool,
    /// A boolean only.
    StrictBool,
    /// A number only; fractions are cut off.
    StrictNumber,
    /// An integer within bounds, and never a text.
    StrictInt(i64, i64),
    /// An integer within bounds, or a text that spells one.
    Int(i64, i64),
    /// An integer or a text that spells one; fractions are cut off.
    Whole,
    /// As [`Shape::Whole`], but not negative.
    WholeCount,
    /// A number, or a text that spells one.
    Number,
    /// A size, as a number of bytes or a text with a unit; read as an integer.
    Bytes,
    /// A size without a fraction.
    WholeBytes,
    /// A size that has to be a text; read as a text of digits.
    BytesText,
    /// A duration; read as a text in Go's form.
    Duration,
    /// Permission bits: a number, or a text of octal digits; read as an integer.
    Mode,
    /// The number of devices: an integer or `all`; read as an integer.
    Count,
    /// A command line, a list of arguments, or nothing.
    Command,
    /// A list.
    List(&'static Shape),
    /// A list in which nothing is there twice.
    Set(&'static Shape),
    /// A mapping with any keys.
    Map(&'static Shape),
    /// A mapping whose keys are names of services or resources.
    Names(&'static Shape),
    /// A mapping with known keys.
    Object(&'static Object),
    /// `KEY: value` or a list of `KEY=value`; a key alone has no value. Read as a mapping.
    Pairs,
    /// As [`Shape::Pairs`], where a key alone has the empty value.
    Labels,
    /// In which, written as a list, nothing is there twice.
    Distinct(&'static Shape),
    /// The first that fits the kind of the value.
    Either(&'static [Shape]),
}

/// A mapping with known keys.
#[derive(Debug)]
pub(crate) struct Object {
    /// The attributes.
    pub(crate) fields: &'static [(&'static str, Shape)],
    /// Those that have to be there.
    pub(crate) required: &'static [&'static str],
    /// Whether `x-` keys are allowed.
    pub(crate) extensible: bool,
    /// Whether any other key is allowed, and ignored.
    pub(crate) open: bool,
}

impl Object {
    /// An object with optional attributes and `x-` keys.
    pub(crate) const fn new(fields: &'static [(&'static str, Shape)]) -> Self {
        Self { fields, required: &[], extensible: true, open: false }
    }

    /// Makes attributes required.
    pub(crate) const fn requiring(self, required: &'static [&'static str]) -> Self {
        Self { required, ..self }
    }

    /// Ignores keys that are not known.
    pub(crate) const fn ignoring_others(self) -> Self {
        Self { open: true, ..self }
    }

    /// Refuses `x-` keys.
    pub(crate) const fn closed(self) -> Self {
        Self { extensible: false, ..self }
    }

    /// The shape of an attribute.
    pub(crate) fn field(&self, name: &str) -> Option<&'static Shape> {
        self.fields.iter().find(|(field, _)| *field == name).map(|(_, shape)| shape)
    }
}

/// A text.
pub(crate) const TEXT: Shape = Shape::Text;
/// A text or a list of texts.
pub(crate) const TEXT_OR_LIST: Shape = Shape::Either(&[Shape::Text, Shape::Set(&Shape::Text)]);
/// A list of different texts.
pub(crate) const SET_OF_TEXT: Shape = Shape::Set(&Shape::Text);
/// A list of texts.
pub(crate) const LIST_OF_TEXT: Shape = Shape::List(&Shape::Text);
/// Any integer.
pub(crate) const INT: Shape = Shape::Int(i64::MIN, i64::MAX);
/// An integer that is not negative.
pub(crate) const COUNT: Shape = Shape::Int(0, i64::MAX);
