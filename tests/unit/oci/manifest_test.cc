// SPDX-License-Identifier: Apache-2.0
// The JSON documents of a layout, and the description: what is refused.
#include "oci/manifest.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "oci/description.h"
#include "oci/format.h"

namespace oci {
namespace {

Descriptor blob(const char* type, uint64_t bytes = 10) {
  return {.media_type = type, .digest = sha256(std::string(type)), .bytes = bytes};
}

std::string some_manifest(size_t packs = 1) {
  return encode_manifest({.description = blob(kDescriptionType),
                          .index = blob(kIndexType),
                          .packs = std::vector<Descriptor>(packs, blob(kPackType))},
                         {{"a", "b\"c"}});
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

std::string manifest_problem(const std::string& text) {
  try {
    parse_manifest(text, "x");
    return "";
  } catch (const base::BadData& error) {
    return error.what();
  }
}

std::string description_problem(const std::string& text) {
  try {
    parse_description(text, "x");
    return "";
  } catch (const base::BadData& error) {
    return error.what();
  }
}

TEST(ManifestTest, IsReadAsItWasWritten) {
  const Manifest manifest = parse_manifest(some_manifest(3), "x");
  EXPECT_EQ(manifest.description, blob(kDescriptionType));
  EXPECT_EQ(manifest.packs, std::vector<Descriptor>(3, blob(kPackType)));
}

TEST(ManifestTest, RefusesDigestsThatAreNotSha256) {
  const std::string good = blob(kPackType).digest.text();
  for (const std::string& bad :
       {std::string("sha256:../../../../etc/passwd"), "sha512" + good.substr(6),
        good.substr(0, good.size() - 1), good + "0", good.substr(0, 70) + "A",
        "sha256:" + std::string(64, '/'), std::string()}) {
    EXPECT_NE(manifest_problem(replaced(some_manifest(), good, bad)).find("has the digest"),
              std::string::npos)
        << bad;
  }
}

TEST(ManifestTest, RefusesOtherMediaTypesByName) {
  EXPECT_NE(manifest_problem(replaced(some_manifest(), kPackType, "application/x-tar"))
                .find("layer 2 has the media type 'application/x-tar'"),
            std::string::npos);
  EXPECT_NE(manifest_problem(replaced(some_manifest(), kTemplateType, "other"))
                .find("it is not a template of snapfork"),
            std::string::npos);
  EXPECT_NE(manifest_problem(replaced(some_manifest(), kManifestType, "other")), "");
}

TEST(ManifestTest, RefusesTooManyLayersAndAnIndexOf10Gigabytes) {
  EXPECT_EQ(manifest_problem(some_manifest(kMostPacks)), "");
  EXPECT_NE(manifest_problem(some_manifest(kMostPacks + 1)).find("257 layers"), std::string::npos);
  const Manifest manifest{.description = blob(kDescriptionType),
                          .index = blob(kIndexType, 10'000'000'000),
                          .packs = {}};
  EXPECT_NE(manifest_problem(encode_manifest(manifest, {})).find("layer 1 has 10000000000 bytes"),
            std::string::npos);
}

TEST(ManifestTest, RefusesAnAnnotationThatOccursTwice) {
  EXPECT_NE(manifest_problem(replaced(some_manifest(), R"({"a":)", R"({"a":"x","a":)")), "");
}

TEST(ManifestTest, RefusesSizesThatAreNotNumbers) {
  for (const char* const bad :
       {R"("size":-1)", R"("size":1e3)", R"("size":"10")", R"("size":18446744073709551615)"}) {
    EXPECT_NE(manifest_problem(replaced(some_manifest(), R"("size":10)", bad)), "") << bad;
  }
}

TEST(EntriesTest, KeepTheSourceOfOtherEntries) {
  const std::string text = encode_entries({make_entry(blob(kManifestType), "v1")});
  const std::string other =
      replaced(text, R"("annotations")", R"("platform":{"os":"x"},"annotations")");
  const std::vector<Entry> entries = parse_entries(other, "x");
  ASSERT_EQ(entries.size(), 1U);
  EXPECT_EQ(entries[0].tag, "v1");
  EXPECT_EQ(encode_entries(entries), other);
}

std::string some_description() {
  Description description;
  description.memory_digest = "d";
  description.files = {{.role = Role::state, .bytes = 10},
                       {.role = Role::memory, .bytes = 4096},
                       {.role = Role::drive, .name = "a.img", .path = "/a", .bytes = 1},
                       {.role = Role::drive, .name = "b.img", .path = "/b", .bytes = 1}};
  return encode_description(description);
}

TEST(DescriptionTest, IsReadAsItWasWritten) {
  EXPECT_EQ(encode_description(parse_description(some_description(), "x")), some_description());
}

TEST(DescriptionTest, RefusesFileNamesThatAGuestCannotHave) {
  for (const char* const bad : {"../a", "a/b", ".", "..", "", "metadata.json", "snapshots",
                                "template", ".a.snapfork-tmp", "a\\u0000b", "b.img"}) {
    EXPECT_NE(description_problem(replaced(some_description(), "a.img", bad)), "") << bad;
  }
}

TEST(DescriptionTest, RefusesLengthsThatNoFileHas) {
  for (const char* const bad : {"0", "-1", "1e9", "9223372036854775807", "\"1\""}) {
    EXPECT_NE(description_problem(replaced(some_description(), R"("bytes":4096)",
                                           std::string(R"("bytes":)") + bad)),
              "")
        << bad;
  }
}

TEST(DescriptionTest, RefusesAMissingOrSecondMemory) {
  EXPECT_NE(description_problem(replaced(some_description(), "memory\",", "state\",")), "");
  EXPECT_NE(description_problem(replaced(some_description(),
                                         R"({"role":"drive","name":"a.img","path":"/a",)",
                                         R"({"role":"memory",)")),
            "");
}

TEST(DescriptionTest, DropsMetadataThatItDoesNotKnow) {
  const std::string text =
      replaced(some_description(), R"("metadata":{})",
               R"("metadata":{"Name":"n","IsTemplate":false,"snapfork":{"taps":{"a":"b"}}})");
  const Description description = parse_description(text, "x");
  EXPECT_EQ(description.metadata.json().compact(), R"({"Name":"n"})");
}

}  // namespace
}  // namespace oci
