// Package relaxng validates XML documents against RELAX NG schemas in the XML
// syntax, and says in plain words what is wrong with those that do not fit.
//
// A schema is compiled once by [Compile] and may then be used by any number of
// goroutines at a time. The method is that of James Clark's paper "An algorithm
// for RELAX NG validation" (2002): a pattern is replaced by its derivative at
// each step through the document. Equal patterns are one value, and what an
// element does to a pattern is worked out once, so that ten thousand equal
// siblings cost one derivation. A budget of patterns bounds the work that a
// hostile document can cause ([MaxPatterns]).
//
// What is served of the language: grammar, start, define (with combine), ref,
// div, include with overrides, element, attribute, group, interleave, choice,
// optional, zeroOrMore, oneOrMore, mixed, list, text, empty, notAllowed, value,
// data with params and except; the name classes name, anyName and nsName with
// except, and choice of these. Names with a prefix, externalRef, nested
// grammars and parentRef are refused by Compile. The data types are listed at
// [Compile].
//
// An attribute named "is" in the namespace [Hints] on a define, data, value or
// choice element describes its values to people; it has no other effect.
package relaxng
